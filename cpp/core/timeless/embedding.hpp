// Rows of a table by their numbers, and the table's gradient.
#pragma once

#include "kernels/table.hpp"
#include "runtime/interrupt.hpp"

namespace bptt {

// The first position whose id is not in [0, limit); -1 if there is none.
Index first_out_of_range(const std::int64_t* ids, Index count, Index limit);

struct EmbeddingRows {
  const std::int64_t* ids;  // (count), each in range
  Index count;
  Index size;  // of a row
};

// y (count, size) = weight[ids]
template <class T>
void embedding_forward(const EmbeddingRows& rows, const T* weight, T* y, Interrupt& interrupt);

// dweight[ids] += dy, in the order of the ids.
template <class T>
void embedding_backward(const EmbeddingRows& rows, const T* dy, T* dweight, Interrupt& interrupt);

// table[ids] = values, or zeros if values is null.
template <class T>
void set_rows(const EmbeddingRows& rows, const T* values, T* table);

// Writes each id that is not marked in `seen` once to `fresh`, in the order of the ids, and marks it. Returns their
// number.
Index mark_rows(const std::int64_t* ids, Index count, std::uint8_t* seen, std::int64_t* fresh);

}  // namespace bptt
