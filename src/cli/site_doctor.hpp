// The part of doctor that looks at a cluster: from the login node, through the site's own launcher, onto its
// nodes and back.
#pragma once

#include <filesystem>

#include "cli/report.hpp"
#include "cluster/site.hpp"

namespace expunge::cli {

// Starts `doctor --probe` on the site's nodes and judges what comes back. `seconds`: how long a job may wait
// in the queue.
void check_site(Report& report, const cluster::Site& site, const std::filesystem::path& out, double seconds);

}  // namespace expunge::cli
