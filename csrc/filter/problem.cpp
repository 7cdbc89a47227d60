#include "base/checked.hpp"
#include "base/message.hpp"
#include "fastconv/filter.hpp"

namespace fastconv {

void validate(const FilterProblem& p) {
  if (p.planes < 0) invalid({"planes must be at least 0, got ", p.planes});
  for (const FilterAxis& a : p.axis) {
    if (a.in < 0) invalid({"in must be at least 0, got ", a.in});
    if (a.size < 1) invalid({"size must be at least 1, got ", a.size});
    if (a.before < 0 || a.before >= a.size) invalid({"before must be from 0 to ", a.size - 1, ", got ", a.before});
    checked_mul(checked_add(a.in, a.size, "size"), 16, "size");
  }
}

}  // namespace fastconv
