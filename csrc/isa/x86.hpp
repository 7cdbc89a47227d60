// What this x86 processor and its operating system can do, one question a rung.
#pragma once

#if defined(_MSC_VER)
#include <cpuid.h>
#endif

namespace fastconv {

#if defined(_MSC_VER)

// clang-cl links no library that __builtin_cpu_supports could ask.
struct CpuFeatures {
  unsigned ecx1 = 0, ebx7 = 0, state = 0;

  CpuFeatures() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid(1, &a, &b, &c, &d)) ecx1 = c;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) ebx7 = b;
    if (ecx1 >> 27 & 1) __asm__ volatile("xgetbv" : "=a"(state), "=d"(d) : "c"(0));  // OSXSAVE
  }
  static bool all(unsigned word, unsigned bits) { return (word & bits) == bits; }
};

inline bool has_v2() { return CpuFeatures::all(CpuFeatures().ecx1, 1u << 20 | 1u << 23); }  // SSE4.2, POPCNT
inline bool has_v3() {
  const CpuFeatures cpu;  // FMA, AVX; BMI1, AVX2, BMI2; the system saves XMM and YMM
  return CpuFeatures::all(cpu.ecx1, 1u << 12 | 1u << 28) && CpuFeatures::all(cpu.ebx7, 1u << 3 | 1u << 5 | 1u << 8) &&
         CpuFeatures::all(cpu.state, 0x6);
}
inline bool has_v4() {  // AVX-512 F, DQ, CD, BW, VL; the system saves ZMM and masks as well
  const CpuFeatures cpu;
  return has_v3() && CpuFeatures::all(cpu.ebx7, 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31) &&
         CpuFeatures::all(cpu.state, 0xe6);
}

#else

inline bool has_v2() { return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt"); }
inline bool has_v3() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
         __builtin_cpu_supports("bmi2");
}
inline bool has_v4() {
  return has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

#endif

}  // namespace fastconv
