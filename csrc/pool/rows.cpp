#include "pool/rows.hpp"

#include "base/message.hpp"

namespace fastconv {

void bad_index(int64_t index, int64_t size) {
  invalid({"indices holds ", index, ", which is not in [0, ", size, "), the plane's elements"});
}

void share_out(int64_t total, double bytes, ShareTask task, void* context) {
  if (total == 0) return;
  const int threads = threads_for(bytes);
  const int64_t each = threads == 1 ? total : std::max<int64_t>(1, total / (8 * threads));
  parallel_tasks(ceil_div(total, each), threads,
                 [&](int64_t i) { task(context, i * each, std::min(total, (i + 1) * each)); });
}

void for_each_group(const PoolProblem& p, double bytes, int64_t each, int64_t once, GroupTask task, void* context) {
  constexpr int64_t kBytes = 1 << 18;
  int64_t planes = std::max<int64_t>(1, std::min(p.channels, kBytes / std::max<int64_t>(1, each)));
  if (planes > kScattered) planes -= planes % kScattered;
  const int64_t groups = ceil_div(p.channels, planes);
  share_out(p.mb * groups, bytes, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      PlaneGroup g{p, i / groups, i % groups * planes, nullptr};
      g.p.mb = 1;
      g.p.channels = std::min(planes, p.channels - g.c);
      for (PoolAxis& a : g.p.axis) a = of_plane(a, (g.n * p.channels + g.c) * p.starts_step);
      g.memory = Arena::shared().reserve(once + g.p.channels * each);
      task(context, g);
    }
  });
}

}  // namespace fastconv
