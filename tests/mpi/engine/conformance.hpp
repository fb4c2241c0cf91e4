// What the conformance suites share: small settings for every method, and golden checks that take the method
// by name, so that broken copies can be put in its place.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/mpi/engine/toys.hpp"

namespace expunge::test {

// Options that make a method's own phases small.
nlohmann::json small_options(const std::string& method);

// A few epochs with short last batches; three samples of D_f may share a grain. Everything that is random is
// on.
Toy small_conv(const std::string& method, std::int64_t forget = 5, std::int64_t retain = 17);
Toy small_mlp(const std::string& method, std::int64_t forget = 5, std::int64_t retain = 17);

// conv_toy and mlp_toy, for methods on graphs graph_toy.
Toy conv_for(const std::string& method, std::int64_t forget, std::int64_t retain, double dropout = 0);
Toy mlp_for(const std::string& method, std::int64_t forget, std::int64_t retain);

// Every registered method; broken copies that a test registered are left out.
std::vector<std::string> conforming_methods();

// Golden numbers of the cards 3.3, 3.7, 3.8 and 3.15, as expectations.
void check_neggrad(const std::string& method);
void check_scrub(const std::string& method);
void check_salun(const std::string& method);
void check_fisher(const std::string& method);

}  // namespace expunge::test
