#include "cli/live.h"

namespace tails::cli {

Result<iptc::Live> read_live_rules() {
  const std::unique_ptr<iptc::kernel::Kernel> kernel = iptc::kernel::running_kernel();
  const std::unique_ptr<iptc::Files> files = iptc::system_files();
  return iptc::read_live({*kernel, *files});
}

}  // namespace tails::cli
