/* matmul: multiplies two N x N matrices of doubles (default 48) and checks the product. Shows:
 * SSE2 arithmetic, whose registers must survive every switch of threads. */

#include <err.h>
#include <stdio.h>
#include <stdlib.h>

static double *new_matrix(int n) {
    double *matrix = malloc(sizeof *matrix * (size_t)(n * n));
    if (!matrix) err(1, "malloc");
    return matrix;
}

static void multiply(double *c, const double *a, const double *b, int n) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int k = 0; k < n; k++) sum += a[i * n + k] * b[k * n + j];
            c[i * n + j] = sum;
        }
}

/* The sum of all elements of a*b is, for each k, (sum of a's column k) * (sum of b's row k):
 * a check in n*n steps. All values are small multiples of 1/4, so both sums are exact. */
static double expected_sum(const double *a, const double *b, int n) {
    double total = 0;
    for (int k = 0; k < n; k++) {
        double column = 0, row = 0;
        for (int i = 0; i < n; i++) column += a[i * n + k], row += b[k * n + i];
        total += column * row;
    }
    return total;
}

int main(int argc, char **argv) {
    int n = argc > 1 ? atoi(argv[1]) : 48;
    double *a = new_matrix(n), *b = new_matrix(n), *c = new_matrix(n);
    for (int i = 0; i < n * n; i++) a[i] = (i % 7 - 3) * 0.5, b[i] = (i % 11 - 4) * 0.5;

    multiply(c, a, b, n);
    double sum = 0, expected = expected_sum(a, b, n);
    for (int i = 0; i < n * n; i++) sum += c[i];
    printf("%d x %d: the elements add up to %.2f, expected %.2f: %s\n", n, n, sum, expected,
           sum == expected ? "right" : "WRONG");
    return sum != expected;
}
