/* Runs a model of bptt over the numbers of standard input, one step a line:
 *
 *   cmake -S . -B build && cmake --build build
 *   printf '0.1\n0.2\n0.3\n' | build/stream amp.safetensors
 */
#include <stdio.h>
#include <stdlib.h>
#include "bptt.h"

static int run(bptt_stream *stream, size_t inputs, size_t outputs) {
  float *x = malloc((inputs + outputs) * sizeof(float)), *y = x + inputs;
  size_t k = 0;
  if (x == NULL) {
    return 1;
  }
  while (scanf("%f", x + k) == 1) {
    if (++k < inputs) {
      continue;
    }
    k = 0;
    if (bptt_run(stream, x, y, 1) != BPTT_OK) {
      fprintf(stderr, "%s\n", bptt_error());
      break;
    }
    for (size_t j = 0; j < outputs; ++j) {
      printf("%.9g%c", (double)y[j], j + 1 < outputs ? ' ' : '\n');
    }
  }
  free(x);
  return k != 0;
}

int main(int argc, char **argv) {
  bptt_model *model = NULL;
  bptt_stream *stream = NULL;
  int result = 1;
  if (argc == 2 && bptt_load(argv[1], &model) == BPTT_OK && bptt_stream_new(model, 1, &stream) == BPTT_OK) {
    result = run(stream, bptt_inputs(model), bptt_outputs(model));
  } else {
    fprintf(stderr, "%s\n", argc == 2 ? bptt_error() : "usage: stream MODEL");
  }
  bptt_stream_free(stream);
  bptt_free(model);
  return result;
}
