// g, what makes the candidate of a minGRU or minLSTM of its pre-activation. As Candidate of crates/kernels/src/mingru.
#pragma once
#include "device.cuh"

struct Candidate {
    float value, slope;
};

/// g(x) = x; or, where it has to be positive, x + 1/2 from 0 on and σ(x) below (Feng et al. 2024, appendix B).
DEVICE Candidate candidate(float x, bool positive) {
    if (!positive) return {x, 1};
    if (x >= 0) return {x + 0.5f, 1};
    float s = sigmoid(x);
    return {s, s * (1 - s)};
}
