// The device that a rank computes on, and how exactly it computes there.
#pragma once

#include <string>

#include "comm/gpu.hpp"
#include "comm/runtime.hpp"
#include "engine/setup.hpp"
#include "tensor/torch.hpp"

namespace expunge {

struct Device {
  torch::Device where = torch::kCPU;
  const comm::GpuPlugin* gpu = nullptr;  // null without a GPU
};

// Takes a GPU where a driver answers ("auto"), never ("cpu"), or raises DataError (66) without one ("cuda");
// another wish raises AgreedError (2). Ranks of a node take its devices in turn, so ranks with consecutive
// numbers lie on different ones while there are enough. Call before the first tensor is made: LibTorch looks
// for GPUs once.
Device choose_device(comm::Runtime& runtime, const std::string& wish);

// Of products and convolutions from now on: "fp32" keeps every bit of their factors, "tf32" lets a GPU round
// them to ten bits, "bf16" is autocast's business (engine/autocast.hpp). ConfigError for tf32 without a GPU.
// Changes nothing on a processor.
void use_precision(const std::string& precision, torch::Device device);

// On a GPU: sums, input and (with `capture`) the student's passes as they suit one (engine/setup.hpp). Sums
// overlap with the backward pass where the transport of `setup.comm` is NCCL; others wait for the processor.
void suit(Context::Setup& setup, const Device& device, bool capture);

}  // namespace expunge
