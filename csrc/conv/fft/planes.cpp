#include "conv/fft/planes.hpp"

#include <algorithm>

namespace fastconv {

template <class T>
void FftPlanes<T>::move_to(int64_t step, int64_t steps) {
  at.resize(static_cast<size_t>(steps * terms.depths));
  auto source = [&](size_t i) {
    const int64_t d = static_cast<int64_t>(i), tap = terms.d0 + d % terms.depths;
    return (step + d / terms.depths) * of.a.axis[0].stride + of.phase[0][static_cast<size_t>(tap)].base;
  };
  for (size_t i = 0; i < at.size(); ++i) at[i] = find(source(i), step);
  for (size_t i = 0; i < at.size(); ++i)
    if (!at[i] && !(at[i] = find(source(i), step))) at[i] = make(source(i), step);
}

template <class T>
const T* FftPlanes<T>::find(int64_t v, int64_t step) {
  auto p = std::find_if(held.begin(), held.end(), [&](const Plane& q) { return q.source == v; });
  if (p == held.end()) return nullptr;
  p->used = step;
  return spectrum(&*p);
}

template <class T>
const T* FftPlanes<T>::make(int64_t v, int64_t step) {
  bool live = false;
  for (int64_t i = 0; i < pair.count; ++i) live |= of.source_plane(pair, i, v) >= 0;
  if (!live) return nullptr;
  auto p = std::min_element(held.begin(), held.end(), [](const Plane& q, const Plane& r) { return q.used < r.used; });
  *p = {v, step};
  of.transform_x(pair, g, v, terms.i0, terms.i0 + terms.terms, x, scratch, spectrum(&*p));
  return spectrum(&*p);
}

template class FftPlanes<float>;
template class FftPlanes<double>;

}  // namespace fastconv
