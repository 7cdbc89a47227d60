#include "conv/reference.hpp"
#include "base/parallel.hpp"
#include <cmath>

namespace fastconv {
template <class T>
void conv_forward(const ConvProblem& p, View<const T> x, View<const T> w, View<const T> bias, View<T> y, Activation act, Algorithm) {
  reference_forward(p, x, w, bias, y);
  if (act == Activation::relu)
    for (int64_t n = 0; n < y.shape[0]; ++n) for (int64_t c = 0; c < y.shape[1]; ++c) for (int64_t d = 0; d < y.shape[2]; ++d)
      for (int64_t h = 0; h < y.shape[3]; ++h) for (int64_t v = 0; v < y.shape[4]; ++v) {
        T& e = y.data[n*y.stride[0]+c*y.stride[1]+d*y.stride[2]+h*y.stride[3]+v*y.stride[4]];
        if (e < 0) e = 0;
      }
}
template <class T>
void conv_backward_input(const ConvProblem& p, View<const T> dy, View<const T> w, View<const T> bias, View<T> dx, Activation, Algorithm) { reference_backward_input(p, dy, w, bias, dx); }
template <class T>
void conv_backward_weight(const ConvProblem& p, View<const T> dy, View<const T> x, View<T> dw, Algorithm) { reference_backward_weight(p, dy, x, dw); }
template <class T>
void conv_backward_bias(View<const T> dy, View<T> db) {
  for (int64_t c = 0; c < dy.shape[1]; ++c) {
    double s = 0;
    for (int64_t n = 0; n < dy.shape[0]; ++n) for (int64_t d = 0; d < dy.shape[2]; ++d)
      for (int64_t h = 0; h < dy.shape[3]; ++h) for (int64_t v = 0; v < dy.shape[4]; ++v)
        s += dy.data[n*dy.stride[0]+c*dy.stride[1]+d*dy.stride[2]+h*dy.stride[3]+v*dy.stride[4]];
    db.data[c * db.stride[0]] = (T)s;
  }
}
template <class T>
ConvPlan plan_conv(const ConvProblem& p, Direction, Algorithm) { ConvPlan q; q.algorithm = Algorithm::reference; q.kernel = "reference"; q.macs = p.macs(); return q; }
#define I(T) template void conv_forward(const ConvProblem&, View<const T>, View<const T>, View<const T>, View<T>, Activation, Algorithm); \
 template void conv_backward_input(const ConvProblem&, View<const T>, View<const T>, View<const T>, View<T>, Activation, Algorithm); \
 template void conv_backward_weight(const ConvProblem&, View<const T>, View<const T>, View<T>, Algorithm); \
 template void conv_backward_bias(View<const T>, View<T>); template ConvPlan plan_conv<T>(const ConvProblem&, Direction, Algorithm);
I(float) I(double)
}
