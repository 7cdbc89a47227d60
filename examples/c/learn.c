/* learn [STEPS]: finds the kernel of a blur from pictures before and after it, by gradient descent.
 *
 * Every step is a convolution, the gradient of its squared error with respect to the kernel, and a step against it.
 * Prints the error of every tenth step and the kernel found. The picture is small whole numbers made by a formula. */
#include <stdio.h>
#include <stdlib.h>

#include "fastconv/fastconv.h"

enum { IMAGES = 4, SIDE = 24, PIXELS = IMAGES * SIDE * SIDE, K = 3, TAPS = K * K };

static void check(fastconv_status status) {
  if (status == FASTCONV_OK) return;
  fprintf(stderr, "learn: %s\n", fastconv_last_error());
  exit(1);
}

static fastconv_array array(void* data, const int64_t* shape) {
  fastconv_array a;
  check(fastconv_array_init(&a, data, FASTCONV_FLOAT64, 4, shape));
  return a;
}

static fastconv_conv* blur(void) {
  fastconv_conv_desc desc;
  fastconv_conv* conv;
  int i;
  check(fastconv_conv_desc_init(&desc, sizeof desc));
  desc.dtype = FASTCONV_FLOAT64;
  desc.batch = IMAGES;
  for (i = 0; i < 2; ++i) {
    desc.input[i] = SIDE;
    desc.kernel[i] = K;
    desc.pad_before[i] = desc.pad_after[i] = 1;
    desc.mode[i] = FASTCONV_CIRCULAR;
  }
  check(fastconv_conv_create(&desc, &conv));
  return conv;
}

int main(int argc, char** argv) {
  static double picture[PIXELS], wanted[PIXELS], found[PIXELS];
  static const double truth[TAPS] = {0.0625, 0.125, 0.0625, 0.125, 0.25, 0.125, 0.0625, 0.125, 0.0625};
  double kernel[TAPS] = {0}, gradient[TAPS], error;
  const int steps = argc > 1 ? atoi(argv[1]) : 100;
  const int64_t image_shape[4] = {IMAGES, 1, SIDE, SIDE}, kernel_shape[4] = {1, 1, K, K};
  const fastconv_array x = array(picture, image_shape), y = array(found, image_shape),
                       target = array(wanted, image_shape);
  const fastconv_array w = array(kernel, kernel_shape), dw = array(gradient, kernel_shape);
  const fastconv_array w_true = array((double*)truth, kernel_shape); /* inputs are only read */
  fastconv_conv* conv = blur();
  int step, i;

  for (i = 0; i < PIXELS; ++i) picture[i] = (i * 7 + i * i % 31) % 16 - 8;
  check(fastconv_conv_forward(conv, &x, &w_true, NULL, &target, NULL, 0));
  for (step = 0; step <= steps; ++step) {
    check(fastconv_conv_forward(conv, &x, &w, NULL, &y, NULL, 0));
    for (error = 0, i = 0; i < PIXELS; ++i) {
      found[i] -= wanted[i];
      error += found[i] * found[i] / PIXELS;
    }
    if (step % 10 == 0) printf("step %d error %.9e\n", step, error);
    check(fastconv_conv_backward_weight(conv, &y, &x, &dw, NULL, 0));
    for (i = 0; i < TAPS; ++i) kernel[i] -= 0.01 * 2 / PIXELS * gradient[i];
  }
  for (i = 0; i < TAPS; ++i) printf("%.9f%c", kernel[i], i % K == K - 1 ? '\n' : ' ');
  fastconv_conv_free(conv);
  return 0;
}
