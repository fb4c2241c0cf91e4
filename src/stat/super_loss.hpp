// SuperLoss (Castells et al., NeurIPS 2020): the weight of a sample by its loss. beta = (loss - tau) /
// lambda, sigma = exp(-W0(max(-2/e, beta) / 2)) with the principal branch of Lambert's W: e at most, 1 at
// loss = tau, falling to 0 for hard samples.
#pragma once

namespace expunge::stat {

// The principal branch: w e^w = x with w >= -1. x below -1/e counts as -1/e.
double lambert_w0(double x);

double super_loss_weight(double loss, double tau, double lambda);
// (loss - tau) sigma + lambda ln^2 sigma; its derivative by the loss is sigma.
double super_loss(double loss, double tau, double lambda);

}  // namespace expunge::stat
