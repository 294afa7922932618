/* sha256: hashes "abc" repeated N times (default 1) and prints the digest. Shows: integer
 * work with a known answer; every wrong instruction or page changes the digest.
 * (FIPS 180-4; section numbers below are of that document) */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t round_constant[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

struct sha256 {
    uint32_t state[8];
    uint8_t block[64];
    uint64_t bytes; /* taken in so far; bytes % 64 of them wait in `block` */
};

/* 5.3.3: from the square roots of the first 8 primes. */
static const struct sha256 initial = {
    .state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
              0x5be0cd19},
};

static inline uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

/* 6.2.2, step 1: sixteen words of message, stretched to sixty-four. */
static void schedule(uint32_t w[64], const uint8_t block[64]) {
    for (int t = 0; t < 16; t++)
        w[t] = (uint32_t)block[4 * t] << 24 | block[4 * t + 1] << 16 | block[4 * t + 2] << 8 |
               block[4 * t + 3];
    for (int t = 16; t < 64; t++) {
        uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
}

/* 6.2.2, steps 2 to 4. v[0..7] are the standard's a..h; each round moves them on by one. */
static void take_block(struct sha256 *hash) {
    uint32_t w[64], v[8];
    schedule(w, hash->block);
    memcpy(v, hash->state, sizeof v);
    for (int t = 0; t < 64; t++) {
        uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
        uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
        uint32_t sum1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25);
        uint32_t sum0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22);
        uint32_t t1 = v[7] + sum1 + choice + round_constant[t] + w[t];
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t1;
        v[0] = t1 + sum0 + majority;
    }
    for (int i = 0; i < 8; i++) hash->state[i] += v[i];
}

static void update(struct sha256 *hash, const void *data, size_t bytes) {
    for (const uint8_t *byte = data; bytes > 0; bytes--) {
        hash->block[hash->bytes++ % 64] = *byte++;
        if (hash->bytes % 64 == 0) take_block(hash);
    }
}

/* 5.1.1: a one bit, zeros, and the length in bits, big-endian, at the end of a block. */
static void finish(struct sha256 *hash) {
    uint64_t bits = hash->bytes * 8;
    update(hash, "\x80", 1);
    while (hash->bytes % 64 != 56) update(hash, "", 1);
    for (int shift = 56; shift >= 0; shift -= 8)
        update(hash, &(uint8_t){(uint8_t)(bits >> shift)}, 1);
}

int main(int argc, char **argv) {
    long times = argc > 1 ? atol(argv[1]) : 1;
    struct sha256 hash = initial;
    for (long i = 0; i < times; i++) update(&hash, "abc", 3);
    finish(&hash);
    for (int i = 0; i < 8; i++) printf("%08x", hash.state[i]);
    printf("  \"abc\" x %ld\n", times);
    return 0;
}
