// fastconv_tests [random problems] [seed]: the kernels of the rung in use against the reference, on small integers
// and exactly. FASTCONV_ISA chooses the rung; exit code 77 says that this processor lacks it.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "check.hpp"
#include "fastconv/runtime.hpp"

namespace fastconv_tests {
namespace {
int64_t passed = 0, failed = 0;
}

void check(bool ok, const std::string& what) {
  ++(ok ? passed : failed);
  if (!ok) std::printf("FAILED %s\n", what.c_str());
}

}  // namespace fastconv_tests

int main(int argc, char** argv) {
  using namespace fastconv_tests;
  const auto rungs = fastconv::available_isas();
  const char* wanted = std::getenv("FASTCONV_ISA");
  if (wanted && *wanted && std::find(rungs.begin(), rungs.end(), wanted) == rungs.end()) {
    std::printf("this processor lacks %s\n", wanted);
    return 77;
  }
  const int64_t problems = argc > 1 ? std::atoll(argv[1]) : 150;
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  fastconv::set_num_threads(3);
  test_conv(problems, seed);
  test_pad(problems, seed);
  test_pool(problems, seed);
  test_filter(problems, seed);
  std::printf("rung %s, %s, %lld random problems, seed %llu\n%lld passed, %lld failed\n", fastconv::isa_name(),
              fastconv::threading_backend(), static_cast<long long>(problems), static_cast<unsigned long long>(seed),
              static_cast<long long>(passed), static_cast<long long>(failed));
  return failed ? 1 : 0;
}
