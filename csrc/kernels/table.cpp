// The one symbol that a rung exports.
#include "isa/table.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

const KernelTable& kernel_table() {
  static const KernelTable table = {FASTCONV_ISA_NAME, nullptr, nullptr};
  return table;
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
