#include "conv/weight/sum.hpp"

#include <algorithm>

#include "base/parallel.hpp"
#include "conv/sum_parts.hpp"
#include "conv/weight/store.hpp"

namespace fastconv {
namespace {

constexpr int64_t kPieces = 4;  // of a task, in which the parts are added

}  // namespace

template <class T>
typename WeightSum<T>::Sizes WeightSum<T>::sizes() const {
  const int64_t pixels = images * extent[0] * extent[1] * extent[2];
  const int64_t entries = dots ? block_channel_size(axis, images, extent, expand)
                               : spread(images * span(0, extent[0]) * span(1, extent[1]) * span(2, extent[2]));
  const int64_t panel = dots    ? kMaxDotRows * pixels
                        : apart ? std::max(std::min(outputs, kMaxOuterVectors * lanes) * panel_pixels(images, extent),
                                           kOuterPanelBytes / item)
                                : kOuterPanelBytes / item;
  return {Arena::rounded_bytes<T>(group_count * sum_elements()),
          apart ? 0 : Arena::rounded_bytes<T>(entries * channels + Block<T>::kSlack), Arena::rounded_bytes<T>(panel),
          Arena::rounded_bytes<OuterPixel>(dots ? 0 : pixels + kPixelSlack),
          Arena::rounded_bytes<int64_t>(channels * taps)};
}

template <class T>
WeightSum<T>::Scratch::Scratch(const WeightSum& w) {
  const Sizes n = w.sizes();
  char* m = Arena::local().reserve(n.total());
  sums = reinterpret_cast<T*>(m);
  block = reinterpret_cast<T*>(m += n.sums);
  panel = reinterpret_cast<T*>(m += n.block);
  pixels = reinterpret_cast<OuterPixel*>(m += n.panel);
  rows = reinterpret_cast<int64_t*>(m + n.pixels);
}

template <class T>
void WeightSum<T>::accumulate(const Task& t, Range some, const Scratch& s) const {
  if (dots) return accumulate_dots(t, some, s);
  for (int64_t i = some.begin; i < some.end; ++i)
    if (apart) accumulate_apart(t, box(i), i == some.begin, s);
    else accumulate_outer(t, box(i), i == some.begin, s);
}

template <class T>
void WeightSum<T>::run() const {
  const int64_t n = tasks(), size = group_count * sum_elements();
  if (parts == 1) {
    parallel_tasks(n, threads, [&](int64_t i) {
      Scratch s(*this);
      accumulate(task(i), {0, blocks()}, s);
      write(task(i), s.sums);
    });
    return;
  }
  T* partial = reinterpret_cast<T*>(Arena::shared().reserve(Arena::rounded_bytes<T>(n * parts * size)));
  const auto sum = [&](int64_t i, int64_t k) {
    Scratch s(*this);
    s.sums = partial + (i * parts + k) * size;
    accumulate(task(i), part(blocks(), parts, k), s);
  };
  const auto finish = [&](int64_t i, int64_t k) { add_parts(task(i), k, partial + i * parts * size); };
  sum_parts(n, parts, kPieces, threads, sum, finish);
}

// Piece k of a task of one group whose parts' sums stand one behind the other: some outputs of dots, else channels.
template <class T>
void WeightSum<T>::add_parts(Task t, int64_t k, T* sums) const {
  Range& range = dots ? t.o : t.c;
  const int64_t each = taps * (dots ? t.c.size() * lanes : width);
  const Range own = part(range.size(), kPieces, k);
  sums += own.begin * each;
  for (int64_t i = 1; i < parts; ++i) add_elements(sums, sums + i * group_count * sum_elements(), own.size() * each);
  range = {range.begin + own.begin, range.begin + own.end};
  write(t, sums);
}

// The sums of a task into dw.
template <class T>
void WeightSum<T>::write(const Task& t, T* all_sums) const {
  if (in_dw()) return;
  for (int64_t g = t.g.begin; g < t.g.end; ++g) {
    T* sums = all_sums + (g - t.g.begin) * sum_elements();
    const int64_t o0 = turned ? 0 : g * oc, c0 = channels_before(g);
    const Range o{o0 + t.o.begin, o0 + t.o.end}, c{c0 + t.c.begin, c0 + t.c.end};
    if (dots) store_dots(sums, o, c);
    else store_weight_sums(sums, width, o, c, dw);
  }
}

template <class T>
void WeightSum<T>::describe(ConvPlan& plan) const {
  plan.kernel = dots ? "dots" : apart ? "outer, tap by tap" : "outer";
  plan.mr = static_cast<int>(dots ? dot_rows(outputs) : tallest(widest()));
  plan.nr = static_cast<int>(dots ? kernels.vectors : widest()) * lanes;
  plan.block_channels = channels;
  plan.block_pixels = images * extent[0] * extent[1] * extent[2];
  plan.workspace_bytes = sizes().total();
  plan.shared_bytes = parts > 1 ? tasks() * parts * sum_elements() * item : 0;
  plan.threads = static_cast<int>(std::min<int64_t>(threads, tasks() * parts));
  plan.cost = comparable(cost(p.mb));
}

template class WeightSum<float>;
template class WeightSum<double>;

}  // namespace fastconv
