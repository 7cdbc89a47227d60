// Which rung runs: decided once, at the first call.
#include <cstdlib>
#include <stdexcept>

#include "fastconv/runtime.hpp"
#include "isa/table.hpp"
#if FASTCONV_HAVE_V2
#include "isa/x86.hpp"
#endif

namespace fastconv {

#define FASTCONV_DECLARE(name)         \
  namespace isa_##name {               \
    const KernelTable& kernel_table(); \
  }
#if FASTCONV_HAVE_V2
FASTCONV_DECLARE(v2)
FASTCONV_DECLARE(v3)
FASTCONV_DECLARE(v4)
#elif FASTCONV_HAVE_NEON
FASTCONV_DECLARE(neon)
#else
FASTCONV_DECLARE(generic)
#endif
#undef FASTCONV_DECLARE

namespace {

struct Rung {
  const char* name;
  bool (*supported)();
  const KernelTable& (*table)();
};

bool always() { return true; }

// Lowest first.
const Rung kLadder[] = {
#if FASTCONV_HAVE_V2
    {"v2", has_v2, isa_v2::kernel_table},
    {"v3", has_v3, isa_v3::kernel_table},
    {"v4", has_v4, isa_v4::kernel_table},
#elif FASTCONV_HAVE_NEON
    {"neon", always, isa_neon::kernel_table},
#else
    {"generic", always, isa_generic::kernel_table},
#endif
};

const KernelTable& choose() {
  (void)always;
  std::string names;
  for (const auto& name : available_isas()) names += (names.empty() ? "" : ", ") + name;
  if (const char* wanted = std::getenv("FASTCONV_ISA"); wanted && *wanted) {
    for (const Rung& rung : kLadder)
      if (std::string(wanted) == rung.name && rung.supported()) return rung.table();
    throw std::runtime_error(std::string("FASTCONV_ISA='") + wanted + "' is not one of this processor's: " + names);
  }
  const Rung* best = nullptr;
  for (const Rung& rung : kLadder)
    if (rung.supported()) best = &rung;
  if (!best) throw std::runtime_error("fastconv needs a processor with SSE4.2 (x86-64-v2)");
  return best->table();
}

}  // namespace

const KernelTable& kernels() {
  static const KernelTable& table = choose();
  return table;
}

const char* isa_name() { return kernels().isa; }

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Rung& rung : kLadder)
    if (rung.supported()) names.emplace_back(rung.name);
  return names;
}

}  // namespace fastconv
