// edges INPUT OUTPUT.pgm: the strength of the edges of a PGM or PPM picture.
//
// Sobel's two kernels are a convolution of one channel to two; the strength is the length of that gradient, the largest
// of the colours, cut off at white. The border is replicated, so that the frame of the picture is no edge.
#include <algorithm>
#include <cmath>
#include <exception>
#include <iostream>

#include "fastconv/conv.hpp"
#include "pnm.hpp"

namespace {

template <class T>
fastconv::View<T> view(T* data, int64_t n, int64_t c, int64_t h, int64_t w) {
  fastconv::View<T> v;
  v.data = data;
  const int64_t shape[5] = {n, c, 1, h, w}, stride[5] = {c * h * w, h * w, h * w, w, 1};
  std::copy(shape, shape + 5, v.shape);
  std::copy(stride, stride + 5, v.stride);
  return v;
}

Picture edges(const Picture& picture) {
  static const float sobel[] = {-1, 0, 1, -2, 0, 2, -1, 0, 1, -1, -2, -1, 0, 0, 0, 1, 2, 1};
  const int64_t h = picture.height, w = picture.width, plane = h * w;

  fastconv::ConvProblem problem;
  problem.mb = picture.channels;  // colours are images of their own
  problem.oc = 2;
  for (int i : {1, 2}) {
    fastconv::ConvAxis& axis = problem.axis[i];
    axis.in = i == 1 ? h : w;
    axis.k = 3;
    axis.pad_before = axis.pad_after = 1;
    axis.mode = fastconv::Mode::replicate;
    axis.out = fastconv::conv_output_size(axis);
  }
  std::vector<float> gradient(static_cast<size_t>(picture.channels * 2 * plane));
  fastconv::conv_forward<float>(problem, view(picture.samples.data(), problem.mb, 1, h, w), view(sobel, 2, 1, 3, 3), {},
                                view(gradient.data(), problem.mb, 2, h, w));

  Picture result{1, h, w, picture.maximum, std::vector<float>(static_cast<size_t>(plane))};
  const float white = static_cast<float>(picture.maximum);
  for (int64_t c = 0; c < picture.channels; ++c)
    for (int64_t i = 0; i < plane; ++i) {
      const float x = gradient[static_cast<size_t>(2 * c * plane + i)],
                  y = gradient[static_cast<size_t>((2 * c + 1) * plane + i)];
      float& strength = result.samples[static_cast<size_t>(i)];
      strength = std::max(strength, std::min(white, std::floor(std::sqrt(x * x + y * y))));
    }
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: edges INPUT OUTPUT.pgm\n";
    return 2;
  }
  try {
    write_picture(argv[2], edges(read_picture(argv[1])));
  } catch (const std::exception& error) {
    std::cerr << "edges: " << error.what() << '\n';
    return 1;
  }
}
