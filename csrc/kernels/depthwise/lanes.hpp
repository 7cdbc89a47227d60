// Contracts of the kernels whose vectors hold one pixel of as many planes as there are lanes: no width of an image, no
// stride and no tap's shift wastes a lane or splits a load, at the price of transposes.
#pragma once
#include <cstdint>

namespace fastconv {

constexpr int kMostLanes = 16;  // of any rung's vectors
constexpr int kLaneTaps = 9;    // taps of a weight gradient at a time

// `count` values of each plane, `step` elements apart, the first at plane + offset; `first` is its number.
struct LaneStretch {
  int64_t offset, step;
  int32_t count, first;
};
// Vectors [src, src + count) once more at dst.
struct LaneCopy {
  int32_t dst, src, count;
};

// dst[place[i] * lanes + l] = value i of plane l.
template <class T>
struct LanePack {
  const T* const* planes;  // one a lane, those behind the ones in use repeating the last
  int64_t plane_count;     // planes in use
  const LaneStretch* stretches;
  int64_t stretch_count;
  const int32_t* place;
  const LaneCopy* copies;  // afterwards, one after the other
  int64_t copy_count;
  T* dst;
};
// Value i of plane l = src[i * src_step + l]: of vectors, or of neighbouring channels where they stand.
template <class T>
struct LaneUnpack {
  T* const* planes;
  int64_t plane_count;  // planes in use
  const LaneStretch* stretches;
  int64_t stretch_count;
  const T* src;
  int64_t src_step;
};

// Neighbouring taps: the first of the vectors they read, counted from an output's, and the first of their weights'.
struct LaneRun {
  int32_t x, w, taps;
};
// Outputs that are neighbours in x and `y_step` vectors apart in y: as many as lane_outputs() may return. What `adds`
// begins with y's value, not with the bias.
struct LaneSegment {
  int32_t x, y, y_step;
  int32_t first_run, runs;
  int16_t outputs, adds;
};
//   y[segment.y + i * y_step] = clamp( bias + sum_{run, t} w[run.w + t] * x[segment.x + i + run.x + t] ),   all of them
//   vectors
template <class T>
struct LaneSums {
  const T *x, *w, *bias;
  const LaneRun* runs;
  const LaneSegment* segments;
  int64_t segment_count;
  T* y;
  bool clamp;
  T low, high;
};

// Of n neighbouring outputs, as many as a segment has, if none has more than `most`: one of the sizes there are kernels
// for. The last segment may begin within the one before it.
inline int64_t lane_outputs(int64_t n, int64_t most) {
  for (int64_t parts = (n + most - 1) / most;; ++parts) {
    int64_t size = (n + parts - 1) / parts;
    if (size > 8) size += size % 2;
    if (size <= n) return size;
  }
}

// sums[t] += sum_{r, i} dy[r * width + i] * x[r * x_row + i + taps[t]],   r in [0, rows), i in [0, width), all of them
// vectors
template <class T>
struct LaneDots {
  const T *x, *dy;
  int64_t x_row, rows, width;
  const int32_t* taps;
  int64_t tap_count;
  T* sums;
};

template <class T>
struct LaneKernelsOf {
  int outputs;  // of a segment at most
  void (*pack)(const LanePack<T>&);
  void (*unpack)(const LaneUnpack<T>&);
  void (*sums)(const LaneSums<T>&);
  void (*dots)(const LaneDots<T>&);
};

struct LaneKernels {
  LaneKernelsOf<float> f32;
  LaneKernelsOf<double> f64;
};

template <class T>
const LaneKernelsOf<T>& lane_kernels();  // of the rung in use: isa/typed_kernels.cpp

}  // namespace fastconv
