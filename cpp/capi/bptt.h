/* Recurrent networks, one step at a time: the engine of bptt for programs in C and C++, such as audio plug-ins.
 *
 *   bptt_model *model;
 *   bptt_stream *stream;
 *   if (bptt_load("amp.safetensors", &model) || bptt_stream_new(model, 1, &stream)) {
 *     fprintf(stderr, "%s\n", bptt_error());
 *     return 1;
 *   }
 *   bptt_run(stream, x, y, steps);
 *
 * A model file is what bptt.save writes in Python: a recurrent layer, or a Sequential of recurrent layers, Linear,
 * TiedLinear, Embedding, LayerNorm, Softmax, activations, Dropout (which does nothing) and Last (y of the last step is
 * then the output of the model). Arrays are float32; parameters of a float64 model are rounded. A model that was saved
 * in bfloat16 or int8 runs in this precision.
 *
 * Functions that can fail return a bptt_status, and bptt_error has the reason. No exception leaves the library.
 */
#ifndef BPTT_H
#define BPTT_H

#include <stddef.h>
#include <stdint.h>

#if defined(BPTT_BUILD) && defined(_WIN32)
#define BPTT_API __declspec(dllexport)
#elif defined(BPTT_BUILD) && defined(__GNUC__)
#define BPTT_API __attribute__((visibility("default")))
#else
#define BPTT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bptt_model bptt_model;   /* weights, which never change: several threads may use one model */
typedef struct bptt_stream bptt_stream; /* a hidden state: one thread at a time */

typedef enum {
  BPTT_OK = 0,
  BPTT_BAD_ARGUMENT = 1, /* a null pointer, a size, or an id out of range */
  BPTT_CANNOT_READ = 2,  /* the file cannot be opened or read */
  BPTT_BAD_FILE = 3,     /* the file is not a model, is cut short, or has changed since it was written */
  BPTT_UNSUPPORTED = 4,  /* the model cannot run one step at a time, or has a layer that this version does not know */
  BPTT_NO_MEMORY = 5
} bptt_status;

/* The reason of the last failure in this thread. Never null; valid until the next call in this thread. */
BPTT_API const char *bptt_error(void);
BPTT_API const char *bptt_version(void);

/* Read a model from a file, or from memory (the bytes of such a file). Only after success, *model is set. On Windows,
 * path is UTF-8. */
BPTT_API bptt_status bptt_load(const char *path, bptt_model **model);
BPTT_API bptt_status bptt_load_memory(const void *bytes, size_t size, bptt_model **model);
/* Streams of the model stay valid. Null: nothing happens. */
BPTT_API void bptt_free(bptt_model *model);

BPTT_API size_t bptt_inputs(const bptt_model *model);  /* numbers that a step reads; 1 if it reads an id */
BPTT_API size_t bptt_outputs(const bptt_model *model); /* numbers that a step writes */
BPTT_API int bptt_reads_ids(const bptt_model *model);  /* 1 if the first layer is an Embedding */

/* Make a stream of `rows` sequences that run side by side, with a state of zeros. This copies and packs the weights. */
BPTT_API bptt_status bptt_stream_new(const bptt_model *model, size_t rows, bptt_stream **stream);
BPTT_API void bptt_stream_free(bptt_stream *stream);

/* Run a block of steps: x (steps, rows, inputs) -> y (steps, rows, outputs). Allocates nothing, and works in the calling
 * thread alone. x and y must not overlap. bptt_run_ids is for models that begin with an Embedding: x (steps, rows).
 * If an id is out of range, nothing changes. */
BPTT_API bptt_status bptt_run(bptt_stream *stream, const float *x, float *y, size_t steps);
BPTT_API bptt_status bptt_run_ids(bptt_stream *stream, const int32_t *x, float *y, size_t steps);

/* Back to a state of zeros. */
BPTT_API void bptt_reset(bptt_stream *stream);
/* The state as numbers: all h and c of one layer after the other. set_state copies as many numbers as state_size says. */
BPTT_API size_t bptt_state_size(const bptt_stream *stream);
BPTT_API bptt_status bptt_get_state(const bptt_stream *stream, float *state);
BPTT_API bptt_status bptt_set_state(bptt_stream *stream, const float *state);

#ifdef __cplusplus
}
#endif

#endif /* BPTT_H */
