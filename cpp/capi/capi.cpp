// The functions of bptt.h. Each catches every exception, and keeps its text for bptt_error.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "capi/bptt.h"
#include "capi/failure.hpp"
#include "capi/model.hpp"
#include "capi/read_file.hpp"
#include "runtime/float_mode.hpp"
#include "runtime/team.hpp"

using bptt::Index;
using bptt::capi::Failure;
using bptt::capi::Model;
using bptt::capi::Stage;

struct bptt_model {
  std::shared_ptr<const Model> model;
};

struct bptt_stream {
  std::shared_ptr<const Model> model;
  Index rows;
  std::vector<std::unique_ptr<Stage>> stages;
  bptt::Buffer<float> blocks[2];  // what one layer writes and the next one reads
  std::vector<bptt::Buffer<float>> state;
};

namespace {

constexpr Index kBlock = 32;  // steps that one layer runs before the next one

thread_local char error_text[512] = "";

bptt_status fail(bptt_status status, const char* text) noexcept {
  std::snprintf(error_text, sizeof error_text, "%s", text);
  return status;
}

template <class Function>
bptt_status guarded(Function function) noexcept {
  try {
    function();
    return BPTT_OK;
  } catch (const Failure& failure) {
    return fail(failure.status(), failure.what());
  } catch (const std::bad_alloc&) {
    return fail(BPTT_NO_MEMORY, "there is not enough memory");
  } catch (const std::exception& error) {
    return fail(BPTT_BAD_FILE, error.what());
  } catch (...) {
    return fail(BPTT_BAD_FILE, "unknown error");
  }
}

void require(bool condition, const char* text) {
  if (!condition) throw Failure(BPTT_BAD_ARGUMENT, text);
}

// Errors begin with `name`.
bptt_status load(std::string_view content, const char* name, bptt_model** model) {
  return guarded([&] {
    try {
      *model = new bptt_model{bptt::capi::model_of(content)};
    } catch (const Failure& failure) {
      throw Failure(failure.status(), std::string(name) + " " + failure.what());
    }
  });
}

// The engine works in the calling thread alone.
struct OneThread {
  OneThread() { bptt::suggest_threads(1); }
  ~OneThread() { bptt::suggest_threads(0); }
};

// Runs all stages over one block of steps after the other. first(at, count) returns what the first stage reads.
template <class First>
void run_blocks(bptt_stream& stream, float* y, size_t steps, First first) {
  const bptt::FlushSubnormals mode;
  const OneThread alone;
  const Model& model = *stream.model;
  const Index rows = stream.rows;
  for (Index at = 0; at < static_cast<Index>(steps); at += kBlock) {
    const Index count = std::min(kBlock, static_cast<Index>(steps) - at);
    float* const last = y + at * rows * model.outputs;
    const float* x = first(at, count);
    for (std::size_t i = 0; i < stream.stages.size(); ++i) {
      float* const to = i + 1 == stream.stages.size() ? last : stream.blocks[i % 2].data();
      stream.stages[i]->run(x, to, count);
      x = to;
    }
    if (stream.stages.empty()) std::memcpy(last, x, static_cast<std::size_t>(count * rows * model.outputs) * 4);
  }
}

std::unique_ptr<bptt_stream> make_stream(std::shared_ptr<const Model> model, size_t rows) {
  auto stream = std::make_unique<bptt_stream>();
  Index width = model->width;
  stream->rows = static_cast<Index>(rows);
  for (const auto& layer : model->layers) {
    stream->stages.push_back(layer->stage(stream->rows));
    width = std::max(width, layer->outputs);
    for (const auto& part : stream->stages.back()->state()) stream->state.push_back(part);
  }
  if (width > (Index{1} << 40) / kBlock / stream->rows) throw std::bad_alloc();
  for (auto& block : stream->blocks) block = bptt::Buffer<float>(kBlock * stream->rows * width);
  stream->model = std::move(model);
  return stream;
}

}  // namespace

extern "C" {

const char* bptt_error(void) { return error_text; }
const char* bptt_version(void) { return BPTT_VERSION; }

bptt_status bptt_load(const char* path, bptt_model** model) {
  if (!path || !model) return fail(BPTT_BAD_ARGUMENT, "path and model must not be null");
  std::string content;
  const bptt_status status = guarded([&] { content = bptt::capi::read_file(path); });
  return status ? status : load(content, path, model);
}

bptt_status bptt_load_memory(const void* bytes, size_t size, bptt_model** model) {
  if (!bytes || !model) return fail(BPTT_BAD_ARGUMENT, "bytes and model must not be null");
  return load({static_cast<const char*>(bytes), size}, "the data", model);
}

void bptt_free(bptt_model* model) { delete model; }
size_t bptt_inputs(const bptt_model* model) { return model ? static_cast<size_t>(model->model->inputs) : 0; }
size_t bptt_outputs(const bptt_model* model) { return model ? static_cast<size_t>(model->model->outputs) : 0; }
int bptt_reads_ids(const bptt_model* model) { return model && model->model->rows > 0; }

bptt_status bptt_stream_new(const bptt_model* model, size_t rows, bptt_stream** stream) {
  return guarded([&] {
    require(model && stream, "model and stream must not be null");
    require(rows >= 1 && rows <= 65536, "rows must be from 1 to 65536");
    *stream = make_stream(model->model, rows).release();
    bptt_reset(*stream);
  });
}

void bptt_stream_free(bptt_stream* stream) { delete stream; }

bptt_status bptt_run(bptt_stream* stream, const float* x, float* y, size_t steps) {
  return guarded([&] {
    require(stream && (steps == 0 || (x && y)), "stream, x and y must not be null");
    require(stream->model->rows == 0, "the model reads ids: call bptt_run_ids");
    const Index step = stream->rows * stream->model->inputs;
    run_blocks(*stream, y, steps, [&](Index at, Index) { return x + at * step; });
  });
}

bptt_status bptt_run_ids(bptt_stream* stream, const int32_t* x, float* y, size_t steps) {
  return guarded([&] {
    require(stream && (steps == 0 || (x && y)), "stream, x and y must not be null");
    const Model& model = *stream->model;
    require(model.rows > 0, "the model reads numbers: call bptt_run");
    const Index rows = stream->rows, width = model.width;
    for (Index i = 0; i < static_cast<Index>(steps) * rows; ++i) {
      require(x[i] >= 0 && x[i] < model.rows, "an id is out of range");
    }
    run_blocks(*stream, y, steps, [&](Index at, Index count) {
      float* const to = stream->blocks[1].data();  // the first stage writes to the other block
      for (Index i = 0; i < count * rows; ++i) {
        const float* const row = model.table.data() + x[at * rows + i] * width;
        std::copy_n(row, width, to + i * width);
      }
      return to;
    });
  });
}

void bptt_reset(bptt_stream* stream) {
  if (!stream) return;
  for (const auto& part : stream->state) std::fill_n(part.data(), part.size(), 0.0f);
}

size_t bptt_state_size(const bptt_stream* stream) {
  size_t size = 0;
  if (!stream) return size;
  for (const auto& part : stream->state) size += static_cast<size_t>(part.size());
  return size;
}

bptt_status bptt_get_state(const bptt_stream* stream, float* state) {
  if (!stream || !state) return fail(BPTT_BAD_ARGUMENT, "stream and state must not be null");
  for (const auto& part : stream->state) state = std::copy_n(part.data(), part.size(), state);
  return BPTT_OK;
}

bptt_status bptt_set_state(bptt_stream* stream, const float* state) {
  if (!stream || !state) return fail(BPTT_BAD_ARGUMENT, "stream and state must not be null");
  for (const auto& part : stream->state) {
    std::copy_n(state, part.size(), part.data());
    state += part.size();
  }
  return BPTT_OK;
}

}  // extern "C"
