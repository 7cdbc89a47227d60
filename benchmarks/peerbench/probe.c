// Peak of fused multiply-adds: twelve independent accumulators in registers, no memory. Returns the operations done.
typedef float vec __attribute__((vector_size(BYTES)));

double run(long repeats, float* sink) {
  enum { N = 12, LANES = BYTES / 4 };
  vec acc[N], a = {0}, b = {0};
  for (int l = 0; l < LANES; ++l) a[l] = 1.0f - 1e-7f, b[l] = 1e-7f;
  for (int i = 0; i < N; ++i) acc[i] = a + (float)i;
  for (long r = 0; r < repeats; ++r)
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) acc[i] = acc[i] * a + b;
  float sum = 0;
  for (int i = 0; i < N; ++i)
    for (int l = 0; l < LANES; ++l) sum += acc[i][l];
  *sink = sum;
  return 2.0 * N * LANES * (double)repeats;
}
