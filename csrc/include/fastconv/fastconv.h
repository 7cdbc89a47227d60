/* The C interface of fastconv: plain C99, for C, Fortran, Rust, Julia, cffi and whatever else calls C.
 *
 * Results.   Every function that can fail returns FASTCONV_OK (0) or another fastconv_status; then
 *            fastconv_last_error() says what was wrong. Nothing is thrown, and no argument makes a function crash but a
 *            pointer to memory that is not the caller's. Errors are found before anything is written, but for indices
 *            that point nowhere.
 *
 * Arrays.    fastconv_array describes memory of the caller; the library keeps no pointer to it beyond a call. Inputs
 *            are only read. Outputs must not share memory with inputs or with themselves.
 *
 * Ownership. What a *_create function returns is freed by the *_free function of its name, which takes null as well.
 *
 * Threads.   Every function may be called from any number of threads at once; handles are never changed after they
 *            were made, so that threads may share them. Freeing a handle must wait until no call uses it.
 *
 * Growth.    Descriptors begin with their size: one made by fastconv_*_desc_init keeps its meaning in later versions,
 *            which append members at the end. Enumerators keep their values.
 */
#ifndef FASTCONV_FASTCONV_H
#define FASTCONV_FASTCONV_H

#include <stddef.h>
#include <stdint.h>

#include "fastconv/export.h"

#ifdef __cplusplus
extern "C" {
#endif

/* -------------------------------------------------------------------------------------------- version and errors */

/* Of this header; a library of the same number and a program fit each other. */
#define FASTCONV_ABI_VERSION 1

FASTCONV_API int fastconv_abi_version(void);     /* FASTCONV_ABI_VERSION of the library */
FASTCONV_API const char* fastconv_version(void); /* "0.1.0" */

typedef int fastconv_status;
enum {
  FASTCONV_OK = 0,
  FASTCONV_INVALID_ARGUMENT = 1,    /* an argument, a shape or a descriptor is wrong */
  FASTCONV_OUT_OF_MEMORY = 2,       /* memory for tables or scratch was not to be had */
  FASTCONV_WORKSPACE_TOO_SMALL = 3, /* the caller's workspace is smaller than fastconv_conv_workspace_size says */
  FASTCONV_UNSUPPORTED = 4,         /* this library or processor cannot: FASTCONV_ISA names a rung that is missing */
  FASTCONV_INTERNAL = 5             /* an error of the library's own */
};

/* What the last failing call of this thread had to say ("" before the first). Valid until the thread's next failing
 * call. */
FASTCONV_API const char* fastconv_last_error(void);

/* -------------------------------------------------------------------------------------------------------- arrays */

enum fastconv_dtype { FASTCONV_FLOAT32 = 0, FASTCONV_FLOAT64 = 1, FASTCONV_INT64 = 2 };

/* Memory of the caller: up to five axes, in the order (n, c, spatial axes...). Strides count elements, not bytes; they
 * may be negative, and zero in inputs. `data` points to element (0, ..., 0). */
typedef struct fastconv_array {
  void* data;
  int32_t dtype; /* enum fastconv_dtype */
  int32_t ndim;  /* entries in use of what follows */
  int64_t shape[5];
  int64_t stride[5];
} fastconv_array;

/* A contiguous array, the last axis fastest. */
FASTCONV_API fastconv_status fastconv_array_init(fastconv_array* array, void* data, int dtype, int ndim,
                                                 const int64_t* shape);

/* --------------------------------------------------------------------------------------------------- convolution */

enum fastconv_mode {
  FASTCONV_ZEROS = 0,     /* 0 0 | a b c | 0 0, or another constant in fastconv_pad */
  FASTCONV_REFLECT = 1,   /* c b | a b c | b a */
  FASTCONV_REPLICATE = 2, /* a a | a b c | c c */
  FASTCONV_CIRCULAR = 3,  /* b c | a b c | a b */
  FASTCONV_SYMMETRIC = 4  /* b a | a b c | c b */
};
enum fastconv_activation {
  FASTCONV_NONE = 0,
  FASTCONV_RELU = 1,
  FASTCONV_LEAKY_RELU = 2, /* slope 0.01 */
  FASTCONV_RELU6 = 3,
  FASTCONV_ELU = 4,
  FASTCONV_SIGMOID = 5,
  FASTCONV_TANH = 6
};
enum fastconv_algorithm {
  FASTCONV_AUTO = 0, /* what is fastest */
  FASTCONV_DIRECT = 1,
  FASTCONV_WINOGRAD = 2, /* this one and the next two wherever they apply, the direct one elsewhere */
  FASTCONV_FFT = 3,
  FASTCONV_DEPTHWISE = 4,
  FASTCONV_REFERENCE = 5 /* plain loops, sums in double */
};
enum fastconv_direction { FASTCONV_FORWARD = 0, FASTCONV_BACKWARD_INPUT = 1, FASTCONV_BACKWARD_WEIGHT = 2 };

/* The cross-correlation of every network library:
 *
 *   y[n, o, p] = activation(bias[o] + sum over c, t of w[o, c, t] * x[n, c, p * stride + t * dilation - pad_before])
 *
 * x is (batch, in_channels, input...), w (out_channels, in_channels / groups, kernel...), y (batch, out_channels,
 * output...). The true convolution is the same call with w's spatial strides negated. Of the arrays of three only the
 * first spatial_dims entries count, those of d, h and w in three dimensions, h and w in two. */
typedef struct fastconv_conv_desc {
  size_t struct_size;
  int32_t spatial_dims; /* 1, 2 or 3 */
  int32_t dtype;        /* FASTCONV_FLOAT32 or FASTCONV_FLOAT64, of all arrays */
  int64_t batch, groups, in_channels, out_channels;
  int64_t input[3];
  int64_t kernel[3];
  int64_t output[3]; /* -1: all positions of the kernel; fewer may be asked for */
  int64_t stride[3];
  int64_t dilation[3]; /* 1 is dense */
  int64_t pad_before[3], pad_after[3];
  int32_t mode[3]; /* enum fastconv_mode */
  int32_t activation;
  int32_t algorithm;
  int32_t reserved; /* 0 */
} fastconv_conv_desc;

/* Defaults: two dimensions, float32; batch, groups, channels and sizes 1; output -1; stride 1, dilation 1, no padding,
 * no activation, FASTCONV_AUTO. Pass sizeof(fastconv_conv_desc). */
FASTCONV_API fastconv_status fastconv_conv_desc_init(fastconv_conv_desc* desc, size_t struct_size);

/* A checked problem, for any number of calls. */
typedef struct fastconv_conv fastconv_conv;
FASTCONV_API fastconv_status fastconv_conv_create(const fastconv_conv_desc* desc, fastconv_conv** conv);
FASTCONV_API void fastconv_conv_free(fastconv_conv* conv);

/* Shapes of the problem's arrays, as many entries as they have axes (spatial_dims + 2). */
FASTCONV_API fastconv_status fastconv_conv_input_shape(const fastconv_conv* conv, int64_t shape[5]);
FASTCONV_API fastconv_status fastconv_conv_weight_shape(const fastconv_conv* conv, int64_t shape[5]);
FASTCONV_API fastconv_status fastconv_conv_output_shape(const fastconv_conv* conv, int64_t shape[5]);

/* Scratch memory. Calls take `workspace` and its size in bytes, at any alignment, and then allocate nothing (on the
 * heap; what the OpenMP runtime keeps for its threads is its own). With null and 0 they use memory that the library
 * keeps for each thread. A workspace serves one call at a time and holds nothing between calls. *size is what a call in
 * this direction needs; it uses no more threads than fastconv_num_threads gave when the handle was made. */
FASTCONV_API fastconv_status fastconv_conv_workspace_size(const fastconv_conv* conv, int direction, size_t* size);

/* y = activation(conv(x, w) + bias). bias (out_channels) may be null. */
FASTCONV_API fastconv_status fastconv_conv_forward(const fastconv_conv* conv, const fastconv_array* x,
                                                   const fastconv_array* w, const fastconv_array* bias,
                                                   const fastconv_array* y, void* workspace, size_t workspace_size);

/* dx, dw, db: the exact adjoints of the convolution (without its activation) in x, in w and in the bias, applied to dy.
 */
FASTCONV_API fastconv_status fastconv_conv_backward_input(const fastconv_conv* conv, const fastconv_array* dy,
                                                          const fastconv_array* w, const fastconv_array* dx,
                                                          void* workspace, size_t workspace_size);
FASTCONV_API fastconv_status fastconv_conv_backward_weight(const fastconv_conv* conv, const fastconv_array* dy,
                                                           const fastconv_array* x, const fastconv_array* dw,
                                                           void* workspace, size_t workspace_size);
FASTCONV_API fastconv_status fastconv_conv_backward_bias(const fastconv_conv* conv, const fastconv_array* dy,
                                                         const fastconv_array* db);

/* The transposed convolution: describe the convolution that it is the adjoint of. `from` has the shape of that one's
 * output, `to` that of its input, bias (in_channels) may be null, and the activation is applied to `to`. Needs the
 * workspace of FASTCONV_BACKWARD_INPUT. Its own gradients are fastconv_conv_forward of `to`'s gradient (for `from`) and
 * fastconv_conv_backward_weight(conv, from, gradient of to, dw). fastconv_transpose_size gives the usual size of `to`.
 */
FASTCONV_API fastconv_status fastconv_conv_transpose(const fastconv_conv* conv, const fastconv_array* from,
                                                     const fastconv_array* w, const fastconv_array* bias,
                                                     const fastconv_array* to, void* workspace, size_t workspace_size);
/* (from - 1) * stride - pad_before - pad_after + dilation * (kernel - 1) + 1 + output_padding */
FASTCONV_API fastconv_status fastconv_transpose_size(int64_t from, int64_t kernel, int64_t stride, int64_t dilation,
                                                     int64_t pad_before, int64_t pad_after, int64_t output_padding,
                                                     int64_t* to);

/* Weights and bias made ready once for many forward calls: a copy, and its transform where Winograd's algorithm may be
 * used. They fit every problem of the same dtype, groups, channels, kernel, stride, dilation and algorithm. */
typedef struct fastconv_packed fastconv_packed;
FASTCONV_API fastconv_status fastconv_packed_create(const fastconv_conv* conv, const fastconv_array* w,
                                                    const fastconv_array* bias, fastconv_packed** packed);
FASTCONV_API void fastconv_packed_free(fastconv_packed* packed);
FASTCONV_API fastconv_status fastconv_packed_bytes(const fastconv_packed* packed, size_t* bytes);
FASTCONV_API fastconv_status fastconv_conv_forward_packed(const fastconv_conv* conv, const fastconv_array* x,
                                                          const fastconv_packed* packed, const fastconv_array* y,
                                                          void* workspace, size_t workspace_size);

/* What a call would do, as lines of "key: value", ended by a null character; at most `size` bytes are written. *needed
 * (may be null) receives the bytes for all of it. */
FASTCONV_API fastconv_status fastconv_conv_explain(const fastconv_conv* conv, int direction, char* buffer, size_t size,
                                                   size_t* needed);

/* Windows as columns: columns is (batch, in_channels * taps, output positions), three axes. fold adds every column back
 * to where it came from: the adjoint of unfold. */
FASTCONV_API fastconv_status fastconv_unfold(const fastconv_conv* conv, const fastconv_array* x,
                                             const fastconv_array* columns);
FASTCONV_API fastconv_status fastconv_fold(const fastconv_conv* conv, const fastconv_array* columns,
                                           const fastconv_array* x);

/* ------------------------------------------------------------------------------------------------------- pooling */

enum fastconv_windows {
  FASTCONV_REGULAR = 0,  /* window o begins at o * stride - pad_before */
  FASTCONV_ADAPTIVE = 1, /* window o covers [floor(o * in / out), ceil((o + 1) * in / out)) */
  FASTCONV_LISTED = 2    /* window o begins at starts[o], in each plane its own: fractional pooling */
};

/* Windows over the spatial axes of x (n, c, input...), y (n, c, output...). Of the arrays of three the first
 * spatial_dims entries count. Padding never wins a maximum. */
typedef struct fastconv_pool_desc {
  size_t struct_size;
  int32_t spatial_dims;
  int32_t windows; /* enum fastconv_windows */
  int64_t kernel[3];
  int64_t output[3]; /* of adaptive and listed windows */
  int64_t stride[3];
  int64_t dilation[3]; /* of maxima */
  int64_t pad_before[3], pad_after[3];
  int32_t ceil_mode;
  int32_t count_include_pad; /* averages: padding counts in the divisor */
  int64_t divisor;           /* averages: the divisor; 0 is the number of elements */
  double norm;               /* Lp: y = (sum |x|^norm)^(1/norm), norm > 0, infinity is the largest |x| */
  int32_t norm_mean;         /* Lp: the mean instead of the sum */
  int32_t reserved;          /* 0 */
  const int64_t* starts;     /* listed windows: for every plane those of the first axis, of the second, ... */
} fastconv_pool_desc;

/* Defaults: two dimensions, regular windows of 1, stride 1, dilation 1, no padding; averages count padding; norm 2. */
FASTCONV_API fastconv_status fastconv_pool_desc_init(fastconv_pool_desc* desc, size_t struct_size);

/* The shape of y for an x of `input_shape`, both of spatial_dims + 2 entries. */
FASTCONV_API fastconv_status fastconv_pool_output_shape(const fastconv_pool_desc* desc, const int64_t* input_shape,
                                                        int64_t shape[5]);
/* Window starts of fractional pooling: batch * channels * (sum of output) of them, from samples (batch, channels,
 * spatial_dims) in [0, 1) of dtype float32 or float64, in PyTorch's order. */
FASTCONV_API fastconv_status fastconv_fractional_starts(const fastconv_pool_desc* desc, const int64_t* input_shape,
                                                        const fastconv_array* samples, int64_t* starts, size_t count);

/* indices (int64, the shape of y, may be null): the flat position of each maximum in its plane of x. max_pool_backward
 * finds the winners in x again where indices is null. */
FASTCONV_API fastconv_status fastconv_max_pool(const fastconv_pool_desc* desc, const fastconv_array* x,
                                               const fastconv_array* y, const fastconv_array* indices);
FASTCONV_API fastconv_status fastconv_max_pool_backward(const fastconv_pool_desc* desc, const fastconv_array* dy,
                                                        const fastconv_array* x, const fastconv_array* indices,
                                                        const fastconv_array* dx);
FASTCONV_API fastconv_status fastconv_avg_pool(const fastconv_pool_desc* desc, const fastconv_array* x,
                                               const fastconv_array* y);
FASTCONV_API fastconv_status fastconv_avg_pool_backward(const fastconv_pool_desc* desc, const fastconv_array* dy,
                                                        const fastconv_array* dx);
FASTCONV_API fastconv_status fastconv_lp_pool(const fastconv_pool_desc* desc, const fastconv_array* x,
                                              const fastconv_array* y);
FASTCONV_API fastconv_status fastconv_lp_pool_backward(const fastconv_pool_desc* desc, const fastconv_array* dy,
                                                       const fastconv_array* x, const fastconv_array* dx);

/* y = 0 but for y[indices] = x, plane by plane: of repeated indices the last wins. The adjoint reads dx = dy[indices].
 */
FASTCONV_API fastconv_status fastconv_max_unpool(const fastconv_array* x, const fastconv_array* indices,
                                                 const fastconv_array* y);
FASTCONV_API fastconv_status fastconv_max_unpool_backward(const fastconv_array* dy, const fastconv_array* indices,
                                                          const fastconv_array* dx);

/* Maxout: channel c of y is the largest of channels [c * pieces, (c + 1) * pieces) of x; indices (may be null) are
 * channels of x. */
FASTCONV_API fastconv_status fastconv_channel_max_pool(int64_t pieces, const fastconv_array* x, const fastconv_array* y,
                                                       const fastconv_array* indices);
FASTCONV_API fastconv_status fastconv_channel_max_pool_backward(int64_t pieces, const fastconv_array* dy,
                                                                const fastconv_array* x, const fastconv_array* indices,
                                                                const fastconv_array* dx);

/* ------------------------------------------------------------------------------------------------------- padding */

/* Entries are those of the arrays' axes, 2 to 5. The first two axes take FASTCONV_ZEROS only; negative amounts crop. */
typedef struct fastconv_pad_desc {
  size_t struct_size;
  int64_t before[5], after[5];
  int32_t mode[5];  /* enum fastconv_mode */
  int32_t reserved; /* 0 */
  double value;     /* what FASTCONV_ZEROS pads with */
} fastconv_pad_desc;

/* Defaults: nothing to add, zeros. */
FASTCONV_API fastconv_status fastconv_pad_desc_init(fastconv_pad_desc* desc, size_t struct_size);
FASTCONV_API fastconv_status fastconv_pad(const fastconv_pad_desc* desc, const fastconv_array* x,
                                          const fastconv_array* y);
FASTCONV_API fastconv_status fastconv_pad_backward(const fastconv_pad_desc* desc, const fastconv_array* dy,
                                                   const fastconv_array* dx);

/* ------------------------------------------------------------------------------------------------------- runtime */

/* Threads a call may use: by default the processors that the process may run on, or OMP_NUM_THREADS. set_num_threads is
 * for the process; a limit above 0 goes before it on the calling thread (0 takes it away; *previous may be null). */
FASTCONV_API fastconv_status fastconv_num_threads(int* threads);
FASTCONV_API fastconv_status fastconv_set_num_threads(int threads);
FASTCONV_API fastconv_status fastconv_set_thread_limit(int threads, int* previous);
FASTCONV_API const char* fastconv_threading_backend(void); /* "openmp" or "serial" */

/* The rung of the instruction-set ladder in use: "v2", "v3", "v4", "neon" or "generic"; null (and an error) if the
 * environment's FASTCONV_ISA names one that is missing. */
FASTCONV_API const char* fastconv_isa_name(void);

#ifdef __cplusplus
}
#endif

#endif /* FASTCONV_FASTCONV_H */
