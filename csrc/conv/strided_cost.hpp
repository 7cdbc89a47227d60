// What the pieces of an input gradient with a stride cost, beside which other ways are weighed.
#pragma once
#include <cstdint>

namespace fastconv {

// Cycles of an image, fitted to 1400 random problems: of products as vectors, a tile's rows being channels of dx; of
// elements that are zipped of the phases', line by line; and, in a small batch, of each piece's plan.
inline double strided_pieces_cost(double products, int64_t rows, double lines, double elements, double pieces) {
  return products * (1.4 + 11 / static_cast<double>(rows)) + 0.4 * elements + 10 * lines + 3000 * pieces;
}

}  // namespace fastconv
