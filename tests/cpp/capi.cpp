// fastconv_capi_tests [random problems] [seed]: the C interface. First from C (capi.c); then random problems in every
// direction against the reference, in a workspace of just the size asked for and without one allocation; then from many
// threads at once.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "fastconv/fastconv.h"

// Every allocation of the library and of this program is counted.
static std::atomic<int64_t> allocations{0};
static void* counted(size_t size) {
  ++allocations;
  if (void* p = std::malloc(size ? size : 1)) return p;
  throw std::bad_alloc();
}
void* operator new(size_t size) { return counted(size); }
void* operator new[](size_t size) { return counted(size); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
void operator delete[](void* p, size_t) noexcept { std::free(p); }
#ifdef FASTCONV_WRAPPED  // by the linker, which sends the library's own calls here
extern "C" void* __real_aligned_alloc(size_t, size_t);
extern "C" void* __wrap_aligned_alloc(size_t alignment, size_t size) {
  ++allocations;
  return __real_aligned_alloc(alignment, size);
}
#endif

extern "C" int test_capi_from_c(void);

namespace {

std::atomic<int64_t> passed{0}, failed{0};
void check(bool ok, const std::string& what) {
  ++(ok ? passed : failed);
  if (!ok) std::printf("FAILED %s (last error: %s)\n", what.c_str(), fastconv_last_error());
}

struct Random {
  std::mt19937_64 engine;
  explicit Random(uint64_t seed) : engine(seed) {}
  int64_t between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(engine() % static_cast<uint64_t>(high - low + 1));
  }
  bool one_in(int64_t n) { return between(1, n) == 1; }
};

fastconv_conv_desc random_problem(Random& r) {
  fastconv_conv_desc d;
  fastconv_conv_desc_init(&d, sizeof d);
  d.spatial_dims = static_cast<int32_t>(r.between(1, 3));
  d.dtype = static_cast<int32_t>(r.between(0, 1));
  d.batch = r.between(0, 3);
  d.groups = r.one_in(3) ? r.between(1, 5) : 1;
  d.in_channels = d.groups * (r.one_in(2) ? r.between(1, 3) : r.between(1, 40));
  d.out_channels = d.groups * (r.one_in(2) ? r.between(1, 3) : r.between(1, 40));
  for (int i = 0; i < d.spatial_dims; ++i) {
    d.input[i] = r.between(1, r.one_in(3) ? (d.spatial_dims == 1 ? 2000 : 60 / d.spatial_dims) : 12);
    d.kernel[i] = r.one_in(2) ? 3 : r.between(1, r.one_in(5) ? 19 : 5);
    d.stride[i] = r.one_in(2) ? 1 : r.between(1, 4);
    d.dilation[i] = r.one_in(2) ? 1 : r.between(1, 3);
    d.pad_before[i] = r.between(0, d.kernel[i]);
    d.pad_after[i] = r.between(0, d.kernel[i]) + (r.one_in(9) ? 30 : 0);
    d.mode[i] = static_cast<int32_t>(r.one_in(2) ? 0 : r.between(0, 4));
    const int64_t lacking = d.dilation[i] * (d.kernel[i] - 1) + 1 - d.input[i] - d.pad_before[i] - d.pad_after[i];
    if (lacking > 0) d.pad_after[i] += lacking;
  }
  return d;
}

// An array of small integers, or of NaN, that owns its memory; every other element of a sparse one is a gap.
class Array {
 public:
  Array(int dtype, int ndim, const int64_t* shape, bool sparse) {
    fastconv_array_init(&view, nullptr, dtype, ndim, shape);
    size_t n = 8;
    for (int i = 0; i < ndim; ++i) n *= static_cast<size_t>(shape[i]);
    memory_.assign(n * (sparse ? 2 : 1) + 8, '\xff');
    view.data = memory_.data();
    if (sparse)
      for (int i = 0; i < ndim; ++i) view.stride[i] *= 2;
  }
  void fill(Random& r) {
    const size_t item = view.dtype == FASTCONV_FLOAT32 ? 4 : 8;
    for (size_t i = 0; i + item <= memory_.size(); i += item) {
      const auto v = static_cast<float>(r.between(-4, 4));
      const auto wide = static_cast<double>(v);
      std::memcpy(memory_.data() + i, item == 4 ? static_cast<const void*>(&v) : &wide, item);
    }
  }
  void poison() { memory_.assign(memory_.size(), '\xff'); }
  const std::vector<char>& memory() const { return memory_; }
  fastconv_array view;

 private:
  std::vector<char> memory_;
};

std::string text(const fastconv_conv_desc& d) {
  std::string s = "dtype " + std::to_string(d.dtype) + " batch " + std::to_string(d.batch) + " groups " +
                  std::to_string(d.groups) + " channels " + std::to_string(d.in_channels) + " " +
                  std::to_string(d.out_channels);
  for (int i = 0; i < d.spatial_dims; ++i)
    s += " [in " + std::to_string(d.input[i]) + " k " + std::to_string(d.kernel[i]) + " s " +
         std::to_string(d.stride[i]) + " d " + std::to_string(d.dilation[i]) + " p " + std::to_string(d.pad_before[i]) +
         " " + std::to_string(d.pad_after[i]) + " mode " + std::to_string(d.mode[i]) + "]";
  return s;
}

// A problem with its arrays, of which direction d computes the last one of three.
struct Problem {
  fastconv_conv_desc desc;
  int ndim;
  int64_t x_shape[5], w_shape[5], y_shape[5];
  fastconv_conv* conv = nullptr;

  explicit Problem(const fastconv_conv_desc& d) : desc(d), ndim(d.spatial_dims + 2) {
    check(fastconv_conv_create(&desc, &conv) == FASTCONV_OK, "conv_create " + text(desc));
    fastconv_conv_input_shape(conv, x_shape), fastconv_conv_weight_shape(conv, w_shape),
        fastconv_conv_output_shape(conv, y_shape);
  }
  Problem(const Problem&) = delete;
  ~Problem() { fastconv_conv_free(conv); }

  fastconv_status run(int direction, const Array& x, const Array& w, const Array& y, void* workspace,
                      size_t size) const {
    if (direction == FASTCONV_FORWARD)
      return fastconv_conv_forward(conv, &x.view, &w.view, nullptr, &y.view, workspace, size);
    if (direction == FASTCONV_BACKWARD_INPUT)
      return fastconv_conv_backward_input(conv, &y.view, &w.view, &x.view, workspace, size);
    return fastconv_conv_backward_weight(conv, &y.view, &x.view, &w.view, workspace, size);
  }
};

void test_in_a_workspace(Random& r) {
  fastconv_conv_desc d = random_problem(r);
  d.algorithm = FASTCONV_REFERENCE;
  const Problem reference(d);
  auto array = [&](const int64_t* shape) { return Array(d.dtype, reference.ndim, shape, r.one_in(3)); };
  Array arrays[3] = {array(reference.y_shape), array(reference.x_shape),
                     array(reference.w_shape)};  // results, by direction
  for (int direction = 0; direction < 3; ++direction) {
    Array& result = arrays[direction];
    for (Array& a : arrays) a.fill(r);
    result.poison();
    check(reference.run(direction, arrays[1], arrays[2], arrays[0], nullptr, 0) == FASTCONV_OK,
          "the reference " + text(d));
    const std::vector<char> want = result.memory();
    for (int algorithm = FASTCONV_AUTO; algorithm <= FASTCONV_REFERENCE; ++algorithm) {
      fastconv_set_num_threads(static_cast<int>(r.between(1, 3)));
      d.algorithm = algorithm;
      const Problem problem(d);
      size_t size = 0;
      check(fastconv_conv_workspace_size(problem.conv, direction, &size) == FASTCONV_OK, "workspace_size");
      std::vector<char> workspace(size + 1);
      result.poison();
      const std::string what =
          "direction " + std::to_string(direction) + " algorithm " + std::to_string(algorithm) + " " + text(d);
      const int64_t before = allocations.load();
      const fastconv_status status = problem.run(direction, arrays[1], arrays[2], arrays[0], workspace.data(), size);
      const int64_t made = allocations.load() - before;
      check(made == 0, what + ": allocates, although it has a workspace");
      check(status == FASTCONV_OK, what);
      const bool exact = algorithm == FASTCONV_DIRECT || algorithm == FASTCONV_REFERENCE;
      check(!exact || result.memory() == want, what + ": differs from the reference");
      const std::vector<char> got = result.memory();
      result.poison();
      check(
          problem.run(direction, arrays[1], arrays[2], arrays[0], nullptr, 0) == FASTCONV_OK && result.memory() == got,
          what + ": has other bits without a workspace");
    }
  }
}

// Threads share a handle and packed weights; each has its arrays. All must get what one alone gets.
void test_from_threads(Random& r) {
  fastconv_conv_desc d;
  fastconv_conv_desc_init(&d, sizeof d);
  d.in_channels = 8, d.out_channels = 12;
  for (int i = 0; i < 2; ++i) d.input[i] = 17, d.kernel[i] = 3, d.pad_before[i] = d.pad_after[i] = 1;
  const Problem problem(d);
  Array x(d.dtype, 4, problem.x_shape, false), w(d.dtype, 4, problem.w_shape, false),
      want(d.dtype, 4, problem.y_shape, false);
  x.fill(r), w.fill(r);
  fastconv_packed* packed = nullptr;
  check(fastconv_packed_create(problem.conv, &w.view, nullptr, &packed) == FASTCONV_OK, "packed_create");
  check(problem.run(FASTCONV_FORWARD, x, w, want, nullptr, 0) == FASTCONV_OK, "forward");
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t)
    threads.emplace_back([&, t] {
      Array y(d.dtype, 4, problem.y_shape, false), dx(d.dtype, 4, problem.x_shape, false),
          dw(d.dtype, 4, problem.w_shape, false);
      for (int i = 0; i < 20; ++i) {
        y.poison();
        if ((i + t) % 2)
          check(problem.run(FASTCONV_FORWARD, x, w, y, nullptr, 0) == FASTCONV_OK, "forward in a thread");
        else
          check(fastconv_conv_forward_packed(problem.conv, &x.view, packed, &y.view, nullptr, 0) == FASTCONV_OK,
                "packed in a thread");
        check(y.memory() == want.memory(), "a thread gets other values");
        check(problem.run(FASTCONV_BACKWARD_INPUT, dx, w, y, nullptr, 0) == FASTCONV_OK, "backward_input in a thread");
        check(problem.run(FASTCONV_BACKWARD_WEIGHT, x, dw, y, nullptr, 0) == FASTCONV_OK,
              "backward_weight in a thread");
        fastconv_conv* own = nullptr;
        fastconv_conv_desc bad = d;
        bad.groups = 5 + t;  // 8 channels: every one of these is refused but t = 3
        const fastconv_status status = fastconv_conv_create(&bad, &own);
        const std::string named = "groups=" + std::to_string(bad.groups);
        check(t == 3 || (status == FASTCONV_INVALID_ARGUMENT && std::strstr(fastconv_last_error(), named.c_str())),
              "a thread's own error");
        fastconv_conv_free(own);
        fastconv_set_num_threads(1 + i % 3);
      }
    });
  for (std::thread& t : threads) t.join();
  fastconv_packed_free(packed);
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t problems = argc > 1 ? std::atoll(argv[1]) : 60;
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  if (!fastconv_isa_name()) {
    std::printf("%s\n", fastconv_last_error());
    return 77;
  }
  failed += test_capi_from_c();
  Random r(seed);
  test_from_threads(r);
  for (int64_t i = 0; i < problems; ++i) test_in_a_workspace(r);
  std::printf("rung %s, %s, %lld random problems, seed %llu\n%lld passed, %lld failed\n", fastconv_isa_name(),
              fastconv_threading_backend(), static_cast<long long>(problems), static_cast<unsigned long long>(seed),
              static_cast<long long>(passed.load()), static_cast<long long>(failed.load()));
  return failed ? 1 : 0;
}
