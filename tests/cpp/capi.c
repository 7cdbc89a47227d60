/* The C interface as a C99 program sees it: values against plain loops on small integers, and errors as a table.
 * Returns the number of failures. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fastconv/fastconv.h"

int test_capi_from_c(void);

static int failures = 0;

static void check(int ok, const char* what) {
  if (ok) return;
  ++failures;
  printf("FAILED %s (last error: %s)\n", what, fastconv_last_error());
}
static void check_ok(fastconv_status status, const char* what) { check(status == FASTCONV_OK, what); }

#define LENGTH(a) (sizeof(a) / sizeof *(a))

enum { N = 2, C = 3, O = 4, H = 7, W = 9, K = 3, OH = 4, OW = 5 }; /* stride 2, padding 1 */

static float x[N * C * H * W], w[O * C * K * K], bias[O], y[N * O * OH * OW], dx[N * C * H * W], dw[O * C * K * K],
    db[O];
static const int64_t x_shape[4] = {N, C, H, W}, w_shape[4] = {O, C, K, K}, y_shape[4] = {N, O, OH, OW},
                     o_shape[1] = {O};

static void fill(float* a, size_t n, unsigned seed) {
  size_t i;
  for (i = 0; i < n; ++i) a[i] = (float)((int)((seed = seed * 1664525u + 1013904223u) >> 24) % 9 - 4);
}

static fastconv_array array(float* data, int ndim, const int64_t* shape) {
  fastconv_array a;
  check_ok(fastconv_array_init(&a, data, FASTCONV_FLOAT32, ndim, shape), "array_init");
  return a;
}

/* Calls visit for every product of the convolution. */
static void each_product(void (*visit)(int yi, int xi, int wi)) {
  int n, o, c, oh, ow, kh, kw;
  for (n = 0; n < N; ++n)
    for (o = 0; o < O; ++o)
      for (c = 0; c < C; ++c)
        for (oh = 0; oh < OH; ++oh)
          for (ow = 0; ow < OW; ++ow)
            for (kh = 0; kh < K; ++kh)
              for (kw = 0; kw < K; ++kw) {
                const int ih = oh * 2 + kh - 1, iw = ow * 2 + kw - 1;
                if (ih < 0 || ih >= H || iw < 0 || iw >= W) continue;
                visit(((n * O + o) * OH + oh) * OW + ow, ((n * C + c) * H + ih) * W + iw,
                      ((o * C + c) * K + kh) * K + kw);
              }
}
static float want_y[LENGTH(y)], want_dx[LENGTH(dx)], want_dw[LENGTH(dw)];
static void forward(int yi, int xi, int wi) { want_y[yi] += x[xi] * w[wi]; }
static void to_input(int yi, int xi, int wi) { want_dx[xi] += y[yi] * w[wi]; }
static void to_weight(int yi, int xi, int wi) { want_dw[wi] += y[yi] * x[xi]; }

static fastconv_conv_desc small_problem(void) {
  fastconv_conv_desc d;
  int i;
  check_ok(fastconv_conv_desc_init(&d, sizeof d), "conv_desc_init");
  d.batch = N, d.in_channels = C, d.out_channels = O;
  d.input[0] = H, d.input[1] = W;
  for (i = 0; i < 2; ++i) d.kernel[i] = K, d.stride[i] = 2, d.pad_before[i] = d.pad_after[i] = 1;
  return d;
}

static void test_convolution(void) {
  const fastconv_conv_desc d = small_problem();
  fastconv_conv* conv = NULL;
  fastconv_packed* packed = NULL;
  fastconv_array ax = array(x, 4, x_shape), aw = array(w, 4, w_shape), ab = array(bias, 1, o_shape),
                 ay = array(y, 4, y_shape), adx = array(dx, 4, x_shape), adw = array(dw, 4, w_shape),
                 adb = array(db, 1, o_shape);
  int64_t shape[5];
  size_t size[3], most = 0, bytes = 0, i;
  void* workspace;
  char text[512], start[8];
  fill(x, LENGTH(x), 1), fill(w, LENGTH(w), 2), fill(bias, LENGTH(bias), 3);

  check_ok(fastconv_conv_create(&d, &conv), "conv_create");
  check_ok(fastconv_conv_output_shape(conv, shape), "conv_output_shape");
  check(!memcmp(shape, y_shape, sizeof y_shape), "the output's shape");
  for (i = 0; i < 3; ++i) {
    check_ok(fastconv_conv_workspace_size(conv, (int)i, size + i), "conv_workspace_size");
    if (size[i] > most) most = size[i];
  }
  workspace = malloc(most);

  for (i = 0; i < LENGTH(y); ++i) want_y[i] = bias[i / (OH * OW) % O];
  each_product(forward);
  for (i = 0; i < 2; ++i) { /* the library's memory, then ours */
    memset(y, 0xff, sizeof y);
    check_ok(fastconv_conv_forward(conv, &ax, &aw, &ab, &ay, i ? workspace : NULL, i ? size[0] : 0), "conv_forward");
    check(!memcmp(y, want_y, sizeof y), "conv_forward's values");
  }
  check_ok(fastconv_packed_create(conv, &aw, &ab, &packed), "packed_create");
  check_ok(fastconv_packed_bytes(packed, &bytes), "packed_bytes");
  check(bytes >= sizeof w, "packed weights hold the weights");
  memset(y, 0xff, sizeof y);
  check_ok(fastconv_conv_forward_packed(conv, &ax, packed, &ay, workspace, size[0]), "conv_forward_packed");
  check(!memcmp(y, want_y, sizeof y), "conv_forward_packed's values");
  fastconv_packed_free(packed);

  each_product(to_input), each_product(to_weight);
  check_ok(fastconv_conv_backward_input(conv, &ay, &aw, &adx, workspace, size[1]), "conv_backward_input");
  check(!memcmp(dx, want_dx, sizeof dx), "conv_backward_input's values");
  memset(dx, 0xff, sizeof dx);
  check_ok(fastconv_conv_transpose(conv, &ay, &aw, NULL, &adx, workspace, size[1]), "conv_transpose");
  check(!memcmp(dx, want_dx, sizeof dx), "conv_transpose's values");
  check_ok(fastconv_conv_backward_weight(conv, &ay, &ax, &adw, workspace, size[2]), "conv_backward_weight");
  check(!memcmp(dw, want_dw, sizeof dw), "conv_backward_weight's values");
  check_ok(fastconv_conv_backward_bias(conv, &ay, &adb), "conv_backward_bias");
  for (i = 0; i < LENGTH(y); ++i) db[i / (OH * OW) % O] -= y[i];
  for (i = 0; i < O; ++i) check(db[i] == 0, "conv_backward_bias's values");

  check_ok(fastconv_conv_explain(conv, FASTCONV_FORWARD, text, sizeof text, &bytes), "conv_explain");
  check(!strncmp(text, "algorithm: ", 11) && strlen(text) + 1 == bytes, "conv_explain's text");
  check_ok(fastconv_conv_explain(conv, FASTCONV_FORWARD, start, sizeof start, NULL), "conv_explain into little");
  check(!strcmp(start, "algorit"), "conv_explain's text, cut");
  check(fastconv_conv_forward(conv, &ax, &aw, &ab, &ay, workspace, 64) == FASTCONV_WORKSPACE_TOO_SMALL,
        "a small workspace is refused");
  check(strstr(fastconv_last_error(), "workspace_size is 64") != NULL, "and the message says so");
  free(workspace);
  fastconv_conv_free(conv);
}

static void test_other_operations(void) {
  static const float in[8] = {3, -1, 4, 1, -5, 9, 2, 6};
  static const int64_t in_shape[3] = {1, 2, 4}, half[3] = {1, 2, 2}, padded[3] = {1, 2, 7}, one_channel[3] = {1, 1, 4},
                       columns_shape[3] = {1, 4, 3};
  float buffer[16], out[16], grad[8];
  int64_t where[8], shape[5];
  fastconv_pool_desc pool;
  fastconv_pad_desc pad;
  fastconv_conv_desc d;
  fastconv_conv* conv = NULL;
  fastconv_array ain, aout, agrad, awhere;
  int i;
  memcpy(buffer, in, sizeof in);
  ain = array(buffer, 3, in_shape), aout = array(out, 3, half), agrad = array(grad, 3, in_shape);
  check_ok(fastconv_array_init(&awhere, where, FASTCONV_INT64, 3, half), "array_init of indices");

  check_ok(fastconv_pool_desc_init(&pool, sizeof pool), "pool_desc_init");
  pool.spatial_dims = 1, pool.kernel[0] = pool.stride[0] = 2;
  check_ok(fastconv_pool_output_shape(&pool, in_shape, shape), "pool_output_shape");
  check(!memcmp(shape, half, sizeof half), "the pool's output shape");
  check_ok(fastconv_max_pool(&pool, &ain, &aout, &awhere), "max_pool");
  check(out[0] == 3 && out[1] == 4 && out[2] == 9 && out[3] == 6 && where[0] == 0 && where[2] == 1 && where[3] == 3,
        "max_pool's values");
  check_ok(fastconv_max_pool_backward(&pool, &aout, &ain, &awhere, &agrad), "max_pool_backward");
  check(grad[0] == 3 && grad[1] == 0 && grad[2] == 4 && grad[5] == 9 && grad[7] == 6, "max_pool_backward's values");
  check_ok(fastconv_max_unpool(&aout, &awhere, &agrad), "max_unpool");
  check(grad[0] == 3 && grad[4] == 0 && grad[5] == 9, "max_unpool's values");
  check_ok(fastconv_max_unpool_backward(&ain, &awhere, &aout), "max_unpool_backward");
  check(out[0] == 3 && out[3] == 6, "max_unpool_backward's values");
  check_ok(fastconv_avg_pool(&pool, &ain, &aout), "avg_pool");
  check(out[0] == 1 && out[1] == 2.5f && out[2] == 2 && out[3] == 4, "avg_pool's values");
  check_ok(fastconv_avg_pool_backward(&pool, &aout, &agrad), "avg_pool_backward");
  check(grad[0] == 0.5f && grad[3] == 1.25f, "avg_pool_backward's values");
  pool.norm = 1;
  check_ok(fastconv_lp_pool(&pool, &ain, &aout), "lp_pool");
  check(out[0] == 4 && out[1] == 5 && out[2] == 14 && out[3] == 8, "lp_pool's values");
  check_ok(fastconv_lp_pool_backward(&pool, &aout, &ain, &agrad), "lp_pool_backward");
  check(grad[0] == 4 && grad[1] == -4 && grad[4] == -14, "lp_pool_backward's values");
  {
    float samples[2] = {0.0f, 0.5f};
    int64_t starts[4] = {-1, -1, -1, -1};
    const int64_t samples_shape[3] = {1, 2, 1};
    fastconv_array asamples = array(samples, 3, samples_shape);
    pool.windows = FASTCONV_LISTED, pool.output[0] = 2, pool.starts = starts;
    check_ok(fastconv_fractional_starts(&pool, in_shape, &asamples, starts, 4), "fractional_starts");
    check(starts[0] == 0 && starts[1] == 2 && starts[2] == 0 && starts[3] == 2, "fractional_starts' values");
    check_ok(fastconv_max_pool(&pool, &ain, &aout, NULL), "fractional max_pool");
    check(out[0] == 3 && out[1] == 4 && out[2] == 9 && out[3] == 6, "fractional max_pool's values");
    starts[1] = 3;
    check(fastconv_max_pool(&pool, &ain, &aout, NULL) == FASTCONV_INVALID_ARGUMENT,
          "a start beyond the input is refused");
  }
  aout = array(out, 3, one_channel);
  check_ok(fastconv_channel_max_pool(2, &ain, &aout, NULL), "channel_max_pool");
  check(out[0] == 3 && out[1] == 9 && out[2] == 4 && out[3] == 6, "channel_max_pool's values");
  check_ok(fastconv_channel_max_pool_backward(2, &aout, &ain, NULL, &agrad), "channel_max_pool_backward");
  check(grad[0] == 3 && grad[1] == 0 && grad[5] == 9, "channel_max_pool_backward's values");

  check_ok(fastconv_pad_desc_init(&pad, sizeof pad), "pad_desc_init");
  pad.before[2] = 2, pad.after[2] = 1, pad.mode[2] = FASTCONV_REFLECT;
  aout = array(out, 3, padded);
  check_ok(fastconv_pad(&pad, &ain, &aout), "pad");
  check(out[0] == 4 && out[1] == -1 && out[2] == 3 && out[6] == 4, "pad's values");
  for (i = 0; i < 14; ++i) out[i] = 1;
  check_ok(fastconv_pad_backward(&pad, &aout, &agrad), "pad_backward");
  check(grad[0] == 1 && grad[1] == 2 && grad[2] == 3 && grad[3] == 1, "pad_backward's values");

  check_ok(fastconv_conv_desc_init(&d, sizeof d), "conv_desc_init");
  d.spatial_dims = 1, d.in_channels = 2, d.input[0] = 4, d.kernel[0] = 2;
  check_ok(fastconv_conv_create(&d, &conv), "conv_create in one dimension");
  aout = array(out, 3, columns_shape);
  check_ok(fastconv_unfold(conv, &ain, &aout), "unfold");
  check(out[0] == 3 && out[3] == -1 && out[9] == 9 && out[11] == 6, "unfold's values");
  check_ok(fastconv_fold(conv, &aout, &agrad), "fold");
  check(grad[0] == 3 && grad[1] == -2 && grad[7] == 6, "fold's values");
  fastconv_conv_free(conv);
}

/* One way to spoil a descriptor, and what the message must name. */
typedef struct {
  const char* named;
  size_t offset;
  int64_t value;
  int wide;
} Spoil;
#define WIDE(type, member, index, value, named) \
  { named, offsetof(type, member) + (index) * sizeof(int64_t), value, 1 }
#define NARROW(type, member, index, value, named) \
  { named, offsetof(type, member) + (index) * sizeof(int32_t), value, 0 }

static void spoil(void* desc, const Spoil* s) {
  const int32_t narrow = (int32_t)s->value;
  memcpy((char*)desc + s->offset, s->wide ? (const void*)&s->value : (const void*)&narrow,
         s->wide ? sizeof s->value : sizeof narrow);
}
static void check_refused(fastconv_status status, const char* named) {
  check(status == FASTCONV_INVALID_ARGUMENT && strstr(fastconv_last_error(), named), named);
}

static void test_bad_convolutions(void) {
  static const Spoil table[] = {
      WIDE(fastconv_conv_desc, struct_size, 0, 8, "struct_size"),
      NARROW(fastconv_conv_desc, spatial_dims, 0, 4, "spatial_dims"),
      NARROW(fastconv_conv_desc, dtype, 0, FASTCONV_INT64, "dtype"),
      WIDE(fastconv_conv_desc, batch, 0, -1, "batch"),
      WIDE(fastconv_conv_desc, groups, 0, 0, "groups"),
      WIDE(fastconv_conv_desc, groups, 0, 2, "groups"),
      WIDE(fastconv_conv_desc, in_channels, 0, -3, "input channels"),
      WIDE(fastconv_conv_desc, out_channels, 0, -4, "output channels"),
      WIDE(fastconv_conv_desc, input, 1, -1, "sizes"),
      WIDE(fastconv_conv_desc, kernel, 0, 0, "kernel"),
      WIDE(fastconv_conv_desc, kernel, 1, 12, "kernel"),
      WIDE(fastconv_conv_desc, output, 0, -2, "output"),
      WIDE(fastconv_conv_desc, output, 0, 5, "output"),
      WIDE(fastconv_conv_desc, stride, 0, 0, "stride"),
      WIDE(fastconv_conv_desc, dilation, 1, -1, "dilation"),
      WIDE(fastconv_conv_desc, dilation, 1, INT64_MAX, "dilation"),
      WIDE(fastconv_conv_desc, pad_before, 0, -1, "padding"),
      WIDE(fastconv_conv_desc, pad_after, 1, INT64_MAX, "padding"),
      WIDE(fastconv_conv_desc, batch, 0, INT64_MAX / 4, "overflows"),
      NARROW(fastconv_conv_desc, mode, 1, 5, "mode"),
      NARROW(fastconv_conv_desc, mode, 0, -1, "mode"),
      NARROW(fastconv_conv_desc, activation, 0, 7, "activation"),
      NARROW(fastconv_conv_desc, algorithm, 0, 6, "algorithm"),
  };
  size_t i;
  for (i = 0; i < LENGTH(table); ++i) {
    fastconv_conv_desc d = small_problem();
    fastconv_conv* conv = (fastconv_conv*)&d;
    spoil(&d, table + i);
    check_refused(fastconv_conv_create(&d, &conv), table[i].named);
    check(conv == NULL, "a refused handle is null");
  }
  {
    fastconv_conv_desc d = small_problem();
    fastconv_conv* conv = NULL;
    check_refused(fastconv_conv_create(NULL, &conv), "desc must not be null");
    check_refused(fastconv_conv_create(&d, NULL), "conv must not be null");
    check_refused(fastconv_conv_desc_init(&d, 3), "struct_size");
    fastconv_conv_free(NULL);
    fastconv_packed_free(NULL);
  }
}

static void test_bad_arrays(void) {
  static const Spoil table[] = {
      NARROW(fastconv_array, dtype, 0, FASTCONV_FLOAT64, "x: dtype"),
      NARROW(fastconv_array, ndim, 0, 3, "x must have shape (2, 3, 7, 9), got (2, 3, 7)"),
      NARROW(fastconv_array, ndim, 0, 6, "x: ndim"),
      WIDE(fastconv_array, shape, 1, 4, "x must have shape"),
      WIDE(fastconv_array, shape, 2, -7, "x must be at least 0"),
      WIDE(fastconv_array, shape, 2, INT64_MAX, "overflows"),
      WIDE(fastconv_array, stride, 3, INT64_MIN, "overflows"),
      WIDE(fastconv_array, stride, 0, INT64_MAX / 4, "overflows"),
  };
  const fastconv_conv_desc d = small_problem();
  fastconv_conv *conv = NULL, *other = NULL;
  fastconv_packed* packed = NULL;
  fastconv_conv_desc wider = d;
  fastconv_array ax = array(x, 4, x_shape), aw = array(w, 4, w_shape), ay = array(y, 4, y_shape), bad;
  size_t i;
  check_ok(fastconv_conv_create(&d, &conv), "conv_create");
  for (i = 0; i < LENGTH(table); ++i) {
    bad = ax;
    spoil(&bad, table + i);
    check_refused(fastconv_conv_forward(conv, &bad, &aw, NULL, &ay, NULL, 0), table[i].named);
  }
  bad = ax, bad.data = NULL;
  check_refused(fastconv_conv_forward(conv, &bad, &aw, NULL, &ay, NULL, 0), "x: data must not be null");
  bad = ax, bad.data = (char*)x + 1;
  check_refused(fastconv_conv_forward(conv, &bad, &aw, NULL, &ay, NULL, 0), "aligned");
  bad = ay, bad.stride[1] = 0;
  check_refused(fastconv_conv_forward(conv, &ax, &aw, NULL, &bad, NULL, 0), "stride 0");
  check_refused(fastconv_conv_forward(conv, &ax, NULL, NULL, &ay, NULL, 0), "w must not be null");
  check_refused(fastconv_conv_forward(NULL, &ax, &aw, NULL, &ay, NULL, 0), "conv must not be null");
  check_refused(fastconv_conv_forward(conv, &ax, &aw, NULL, &ay, NULL, 64), "workspace must not be null");
  check_refused(fastconv_conv_forward_packed(conv, &ax, NULL, &ay, NULL, 0), "packed must not be null");
  check_refused(fastconv_conv_workspace_size(conv, 3, &i), "direction");
  check_refused(fastconv_conv_explain(conv, -1, NULL, 0, NULL), "direction");
  check_refused(fastconv_set_num_threads(0), "set_num_threads");
  check_refused(fastconv_set_thread_limit(-1, NULL), "threads");

  wider.stride[0] = 1; /* weights packed for another problem */
  check_ok(fastconv_conv_create(&wider, &other), "conv_create");
  check_ok(fastconv_packed_create(other, &aw, NULL, &packed), "packed_create");
  check_refused(fastconv_conv_forward_packed(conv, &ax, packed, &ay, NULL, 0), "made for another");
  fastconv_packed_free(packed);
  fastconv_conv_free(other);
  fastconv_conv_free(conv);
}

static void test_bad_pools_and_pads(void) {
  static const Spoil pools[] = {
      NARROW(fastconv_pool_desc, spatial_dims, 0, 0, "spatial_dims"),
      NARROW(fastconv_pool_desc, windows, 0, 3, "windows"),
      WIDE(fastconv_pool_desc, kernel, 0, 0, "kernel"),
      WIDE(fastconv_pool_desc, kernel, 0, 100, "kernel"),
      WIDE(fastconv_pool_desc, stride, 1, 0, "stride"),
      WIDE(fastconv_pool_desc, dilation, 1, 0, "dilation"),
      WIDE(fastconv_pool_desc, pad_before, 0, 2, "padding"),
      WIDE(fastconv_pool_desc, pad_after, 0, -1, "pad_after"),
      WIDE(fastconv_pool_desc, divisor, 0, -1, "divisor"),
  };
  static const Spoil pads[] = {
      WIDE(fastconv_pad_desc, before, 2, -8, "crops"),
      WIDE(fastconv_pad_desc, after, 3, INT64_MAX, "pad"),
      NARROW(fastconv_pad_desc, mode, 3, 9, "mode"),
      WIDE(fastconv_pad_desc, struct_size, 0, 0, "struct_size"),
  };
  fastconv_array ax = array(x, 4, x_shape), ay = array(y, 4, y_shape);
  size_t i;
  for (i = 0; i < LENGTH(pools); ++i) {
    fastconv_pool_desc d;
    check_ok(fastconv_pool_desc_init(&d, sizeof d), "pool_desc_init");
    spoil(&d, pools + i);
    check_refused(fastconv_avg_pool(&d, &ax, &ax), pools[i].named);
  }
  for (i = 0; i < LENGTH(pads); ++i) {
    fastconv_pad_desc d;
    check_ok(fastconv_pad_desc_init(&d, sizeof d), "pad_desc_init");
    spoil(&d, pads + i);
    check_refused(fastconv_pad(&d, &ax, &ay), pads[i].named);
  }
  check_refused(fastconv_channel_max_pool(2, &ax, &ay, NULL), "pieces=2");
}

int test_capi_from_c(void) {
  check(fastconv_abi_version() == FASTCONV_ABI_VERSION, "the version of the ABI");
  check(fastconv_isa_name() && fastconv_threading_backend() && fastconv_version()[0], "names of the runtime");
  test_convolution();
  test_other_operations();
  test_bad_convolutions();
  test_bad_arrays();
  test_bad_pools_and_pads();
  return failures;
}
