/* Pillow's bicubic resize of RGB, to the bit, of the square in the middle only; and its bytes as floats.

   Pillow (src/libImaging/Resample.c) goes across, rounds to bytes, and goes down, or the other way round; coefficients are integers in steps of
   2^-22. Here each is the sum of a part in steps of 2^-10 and of what is left, since the processor multiplies and adds
   pairs of 16-bit numbers. Sums of 32 bits may wrap on the way: what comes out is the same. */

#include "native.h"

enum { FINE = 12, STEP = 22 }; /* bits of the finer part, and of a coefficient */

typedef struct {
  int count, taps;         /* outputs, and coefficients of each, a multiple of 8, the last of them zero */
  const int32_t *from;     /* (count,) the first input of each */
  const int16_t *coarse;   /* (count, taps) */
  const int16_t *fine;     /* (count, taps) */
} Axis;

INLINE __m512i joined(__m512i coarse, __m512i fine) {
  const __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(coarse, FINE), fine);
  return _mm512_srai_epi32(_mm512_add_epi32(sum, _mm512_set1_epi32(1 << (STEP - 1))), STEP);
}

/* Each pair of coefficients four times, as pixels of four bytes need them. */
INLINE __m512i by_fours(const int16_t *coefficients) {
  const __m512i place = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
  const __m128i eight = _mm_loadu_si128((const __m128i *)coefficients);
  return _mm512_permutexvar_epi32(place, _mm512_castsi128_si512(eight));
}

/* A row of `width` pixels -> `count` pixels. */
static void across(const Axis *axis, const uint32_t *row, int width, uint32_t *out) {
  const __m256i pairs = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15)); /* two pixels' reds, greens, ... */
  for (int x = 0; x < axis->count; x++) {
    __m512i coarse = _mm512_setzero_si512(), fine = coarse;
    const int first = axis->from[x];
    const int16_t *coefficients = axis->coarse + (size_t)x * axis->taps, *rest = axis->fine + (size_t)x * axis->taps;
    for (int tap = 0; tap < axis->taps && first + tap < width; tap += 8) {
      const int left = width - first - tap;
      const __mmask8 there = left < 8 ? (1 << left) - 1 : 255; /* nothing past the picture is read */
      const __m256i pixels = _mm256_shuffle_epi8(_mm256_maskz_loadu_epi32(there, row + first + tap), pairs);
      const __m512i wide = _mm512_cvtepu8_epi16(pixels);
      coarse = _mm512_add_epi32(coarse, _mm512_madd_epi16(wide, by_fours(coefficients + tap)));
      fine = _mm512_add_epi32(fine, _mm512_madd_epi16(wide, by_fours(rest + tap)));
    }
    const __m256i coarse_half = _mm256_add_epi32(_mm512_castsi512_si256(coarse), _mm512_extracti64x4_epi64(coarse, 1));
    const __m256i fine_half = _mm256_add_epi32(_mm512_castsi512_si256(fine), _mm512_extracti64x4_epi64(fine, 1));
    __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(coarse_half, FINE), fine_half);
    __m128i pixel = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    pixel = _mm_srai_epi32(_mm_add_epi32(pixel, _mm_set1_epi32(1 << (STEP - 1))), STEP);
    pixel = _mm_packs_epi32(pixel, pixel);
    out[x] = _mm_cvtsi128_si32(_mm_packus_epi16(pixel, pixel));
  }
}

/* Output `y` from rows of `stride` bytes. */
static void down(const Axis *axis, const uint8_t *rows, int height, size_t stride, int y, uint8_t *out) {
  const int first = axis->from[y];
  const int32_t *coarse = (const int32_t *)(axis->coarse + (size_t)y * axis->taps); /* pairs */
  const int32_t *fine = (const int32_t *)(axis->fine + (size_t)y * axis->taps);
  for (size_t byte = 0; byte < stride; byte += 32) {
    const __mmask32 there = stride - byte < 32 ? (1u << (stride - byte)) - 1 : ~0u;
    __m512i sums[4];
    UNROLLED for (int n = 0; n < 4; n++) sums[n] = _mm512_setzero_si512();
    for (int tap = 0; tap < axis->taps && first + tap < height; tap += 2) {
      const uint8_t *row = rows + (first + tap) * stride + byte;
      const uint8_t *next = first + tap + 1 < height ? row + stride : row; /* its coefficient is zero */
      const __m512i a = _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(there, row));
      const __m512i b = _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(there, next));
      const __m512i low = _mm512_unpacklo_epi16(a, b), high = _mm512_unpackhi_epi16(a, b);
      const __m512i k = _mm512_set1_epi32(coarse[tap / 2]), rest = _mm512_set1_epi32(fine[tap / 2]);
      sums[0] = _mm512_add_epi32(sums[0], _mm512_madd_epi16(low, k));
      sums[1] = _mm512_add_epi32(sums[1], _mm512_madd_epi16(high, k));
      sums[2] = _mm512_add_epi32(sums[2], _mm512_madd_epi16(low, rest));
      sums[3] = _mm512_add_epi32(sums[3], _mm512_madd_epi16(high, rest));
    }
    const __m512i both = _mm512_packs_epi32(joined(sums[0], sums[2]), joined(sums[1], sums[3]));
    const __m512i positive = _mm512_max_epi16(both, _mm512_setzero_si512());
    _mm256_mask_storeu_epi8(out + byte, there, _mm512_cvtusepi16_epi8(positive));
  }
}

/* Pixels (height, width) of four bytes -> (y->count, x->count). `between` holds (height, x->count), or where it goes
   down first (y->count, width). */
void resize(
    const uint32_t *pixels, int width, int height, const Axis *x, const Axis *y, int down_first, uint32_t *between,
    uint32_t *out) {
  const uint8_t *rows = (const uint8_t *)(down_first ? pixels : between);
  const size_t stride = sizeof(uint32_t) * (down_first ? width : x->count);
  uint8_t *below = (uint8_t *)(down_first ? between : out);
  if (!down_first)
    for (int row = 0; row < height; row++)
      across(x, pixels + (size_t)row * width, width, between + (size_t)row * x->count);
  for (int row = 0; row < y->count; row++) down(y, rows, height, stride, row, below + row * stride);
  if (down_first)
    for (int row = 0; row < y->count; row++)
      across(x, between + (size_t)row * width, width, out + (size_t)row * x->count);
}

/* `count` pixels of four bytes, a multiple of 16 -> three planes of floats by a table for each, (3, 256). */
void levels(const uint8_t *pixels, size_t count, const float *table, float *planes) {
  for (size_t pixel = 0; pixel < count; pixel += 16) {
    const __m512i sixteen = _mm512_loadu_si512(pixels + 4 * pixel);
    for (int channel = 0; channel < 3; channel++) {
      const __m512i value = _mm512_and_si512(_mm512_srli_epi32(sixteen, 8 * channel), _mm512_set1_epi32(255));
      _mm512_storeu_ps(planes + channel * count + pixel, _mm512_i32gather_ps(value, table + 256 * channel, 4));
    }
  }
}
