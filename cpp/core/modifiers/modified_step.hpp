// A step with modifiers, forward and backward:
//
//   h', c' <- 0 where the row is reset                    reset.hpp
//   h_in = h' (.) mask                                    recurrent_dropout.hpp
//   a = norm(W x) + norm(U h_in) + biases                 layer_norm.hpp
//   a, h', c' -> h, c; h from norm(c)                     cell_stages.hpp: the fused kernel
//   c <- keep_c c' + (1 - keep_c) c                       zoneout.hpp
//   h <- W_hr h                                           projection.hpp
//   h <- keep_h h' + (1 - keep_h) h                       zoneout.hpp
//
// The backward step inverts these lines from the last to the first. state_clip.hpp bounds the errors that it starts
// from.
#pragma once

#include "core/modifiers/context.hpp"

namespace bptt {

template <class T>
void forward_modified(ForwardContext<T>& f);

// From dL/dh in b.step.dh; the errors of dy are added first.
template <class T>
void backward_modified(BackwardContext<T>& b);

// dL/dh' and dL/dc', from the gate gradients of the step that started from h' and c'.
template <class T>
void backward_modified_state(const StateErrorContext<T>& x);

}  // namespace bptt
