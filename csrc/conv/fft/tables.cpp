#include "conv/fft/tables.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/conv.hpp"

namespace fastconv {
namespace {

struct Root {
  double re, im;
};
Root root(int64_t j, int64_t n) {  // exp(-2 pi i j / n)
  const double angle = -2 * 3.14159265358979323846 * static_cast<double>(j) / static_cast<double>(n);
  return {std::cos(angle), std::sin(angle)};
}
// Those of order n.
template <int64_t n>
const Root* roots() {
  static const std::array<Root, n> table = [] {
    std::array<Root, n> t{};
    for (int64_t j = 0; j < n; ++j) t[static_cast<size_t>(j)] = root(j, n);
    return t;
  }();
  return table.data();
}

int power_of_two(int64_t n) { return __builtin_ctzll(static_cast<uint64_t>(n)); }

}  // namespace

template <class T>
FftTables<T>::FftTables(const FftPlan& p) {
  fill(p.rows, rows_, shape_.rows);
  fill(p.columns, columns_, shape_.columns);
  shape_.twist = nullptr;
  if (p.line) fill_twist();
  if (p.real) fill_opposite(p.kept);
}

template <class T>
void FftTables<T>::fill(int64_t n, Vector<T>& factors, FftLength<T>& f) {
  f.n = n;
  f.stages = 0;
  const int most = fft_kernels<T>().most_radix;
  const bool mixed = kFftMost % n != 0;
  for (int odd : {3, 5})
    if (n % odd == 0) f.radix[f.stages++] = odd;
  for (int bits = power_of_two(n); bits > 0;) {
    const int take = std::min(bits, most == 8 && bits != 4 ? 3 : 2);
    f.radix[f.stages++] = 1 << take;
    bits -= take;
  }
  Vector<size_t> start;
  const Root* table = mixed ? roots<kFftMixed>() : roots<kFftMost>();
  const int64_t order = mixed ? kFftMixed : kFftMost;
  int64_t length = n;
  for (int s = 0; s < f.stages; length /= f.radix[s++]) {
    start.push_back(factors.size());
    for (int64_t j = 0; j < length / f.radix[s]; ++j)
      for (int64_t r = 1; r < f.radix[s]; ++r) {
        const Root w = table[j * r * (order / length)];
        factors.push_back(static_cast<T>(w.re));
        factors.push_back(static_cast<T>(w.im));
      }
  }
  for (int s = 0; s < f.stages; ++s) f.twiddle[s] = factors.data() + start[static_cast<size_t>(s)];
}

template <class T>
int64_t FftTables<T>::frequency(int64_t row) const {
  int64_t k = 0, weight = 1, block = shape_.rows.n;
  for (int s = 0; s < shape_.rows.stages; ++s) {
    block /= shape_.rows.radix[s];
    k += row / block * weight;
    row %= block;
    weight *= shape_.rows.radix[s];
  }
  return k;
}

template <class T>
void FftTables<T>::fill_opposite(int64_t kept) {
  const int64_t rows = shape_.rows.n;
  Vector<int32_t> row_of(static_cast<size_t>(rows));
  for (int64_t r = 0; r < rows; ++r) row_of[static_cast<size_t>(frequency(r))] = static_cast<int32_t>(r);
  for (int64_t i = 0; i < kept; ++i) {
    const int64_t k = i <= rows / 2 ? i : 0;
    opposite_.push_back(row_of[static_cast<size_t>(k)]);
    opposite_.push_back(row_of[static_cast<size_t>((rows - k) % rows)]);
  }
  shape_.opposite = opposite_.data();
  shape_.kept = kept;
}

// Element (r, c): w^(k c) with k the frequency that the first pass leaves in row r, w the root of order rows *
// columns.
template <class T>
void FftTables<T>::fill_twist() {
  const int64_t rows = shape_.rows.n, columns = shape_.columns.n, n = rows * columns, lanes = conv_kernels<T>().lanes;
  const int bits = power_of_two(rows);
  Vector<Root> low, high;  // w^j = high[j / rows] * low[j % rows]
  for (int64_t j = 0; j < rows; ++j) low.push_back(root(j, n));
  for (int64_t j = 0; j < columns; ++j) high.push_back(root(j, columns));
  twist_.resize(static_cast<size_t>(2 * n));
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t k = frequency(r);
    T* to = twist_.data() + r * 2 * lanes;
    for (int64_t c = 0, j = 0; c < columns; c += lanes, to += rows * 2 * lanes)
      for (int64_t l = 0; l < lanes; ++l, j += k) {
        const Root a = high[static_cast<size_t>(j >> bits)], b = low[static_cast<size_t>(j & (rows - 1))];
        to[l] = static_cast<T>(a.re * b.re - a.im * b.im);
        to[lanes + l] = static_cast<T>(a.re * b.im + a.im * b.re);
      }
  }
  shape_.twist = twist_.data();
}

template class FftTables<float>;
template class FftTables<double>;

}  // namespace fastconv
