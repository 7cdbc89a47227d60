// What the pieces of an input gradient with a stride cost, beside which other ways are weighed.
#pragma once
#include <cstdint>

namespace fastconv {

// Cycles of an image, fitted to 1500 random problems: of products as vectors, a tile's rows being channels of dx; of
// elements that are written in steps, line by line; and, in a small batch, of each piece's plan.
inline double strided_pieces_cost(double products, int64_t rows, double lines, double elements, int64_t pieces) {
  return products * (1.4 + 11 / static_cast<double>(rows)) + 1.9 * elements + 20 * lines +
         5000 * static_cast<double>(pieces);
}

}  // namespace fastconv
