#include "cli/host_settings.h"

#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/guests.h"
#include "cli/log.h"
#include "cli/transaction_report.h"
#include "host/clearnet_resolver.h"
#include "host/machine_files.h"
#include "host/resolver_audit.h"
#include "iptc/files.h"

namespace tails::cli {
namespace {

constexpr const char* kResolvConf = "/etc/resolv.conf";
/// Behind every other file: the last one counts.
constexpr const char* kPersistent = "/etc/sysctl.d/zz-tails-iptc.conf";

host::SysctlWish wish_of(const policy::Policy& policy) {
  host::SysctlWish wish{policy.host.sysctl, false};
  for (const host::Guest& guest : guests_of(policy)) {
    const auto state = host::state_of(guest);
    wish.may_forward |= guest.internet && state && *state != host::GuestState::kAbsent;
  }
  return wish;
}

std::string persistent_file(const policy::Policy& policy) {
  std::string text = "# Written by `tails-iptc apply --host --persist`.\n";
  for (const char* where : {"all", "default"}) {
    for (const char* parameter : {"accept_redirects", "route_localnet"}) {
      text += fmt::format("net.ipv4.conf.{}.{} = 0\n", where, parameter);
    }
  }
  for (const auto& [name, value] : host::in_order(policy.host.sysctl)) text += fmt::format("{} = {}\n", name, value);
  return text;
}

/// Whether the file names the resolver and nobody else.
bool is_right(const host::MachineFiles& files, const IpAddress& resolver) {
  for (const host::Finding& finding : host::audit_resolver(files, resolver)) {
    if (finding.subject == kResolvConf) return false;
  }
  return true;
}

}  // namespace

Result<HostSettings> HostSettings::put(const policy::Policy& policy, const Wish& wish) {
  HostSettings put;
  std::vector<std::string> done;
  const auto settings = host::missing_settings(wish_of(policy));
  if (!settings) return tl::unexpected(settings.error());
  for (const auto& [name, value] : *settings) log::debug(fmt::format("{} = {}", name, value));
  if (!settings->empty()) {
    done.push_back(fmt::format("set {} kernel parameter{}", settings->size(), settings->size() == 1 ? "" : "s"));
    if (!wish.dry_run) {
      auto before = host::write_settings(*settings);
      if (!before) return tl::unexpected(before.error());
      put.before_ = std::move(*before);
    }
  }
  const auto refused = [&](Error error) -> Result<HostSettings> {
    if (const auto back = put.take_back(); !back) add_remains(error, settings_remain(back.error()));
    return tl::unexpected(std::move(error));
  };
  const host::MachineFiles files("/");
  if (policy.host.resolver && !is_right(files, *policy.host.resolver)) {
    if (files.link(kResolvConf)) {
      log::warning("/etc/resolv.conf is a link, so another program writes it; `tails-iptc status` says what to do");
    } else {
      done.push_back(fmt::format("{} {}", wish.dry_run ? "write" : "wrote", kResolvConf));
      if (!wish.dry_run) {
        put.resolv_conf_before_ = files.text(kResolvConf);
        const auto written =
            host::refill(kResolvConf, fmt::format("nameserver {}\n", to_string(*policy.host.resolver)));
        if (!written) return refused(written.error());
      }
    }
  }
  if (wish.persist) {
    const std::string text = persistent_file(policy);
    if (files.text(kPersistent) != text) {
      done.push_back(fmt::format("{} {}", wish.dry_run ? "write" : "wrote", kPersistent));
      if (!wish.dry_run) {
        put.made_persistent_ = true;
        put.persistent_before_ = files.text(kPersistent);
        const auto system = iptc::system_files();
        system->make_directory("/etc/sysctl.d", 0755);
        if (auto written = iptc::write_durable_file(*system, kPersistent, text, 0644); !written)
          return refused(written.error());
      }
    }
  }
  if (!done.empty()) {
    put.text_ = fmt::format(" {}{}.", wish.dry_run ? "Would also " : "Also ", fmt::join(done, ", "));
  }
  return put;
}

Result<void> HostSettings::take_back() const {
  Result<void> result = host::put_settings_back(before_);
  const auto note = [&](const auto& done) {
    if (!done && result) result = tl::unexpected(done.error());
  };
  if (resolv_conf_before_) note(host::refill(kResolvConf, *resolv_conf_before_));
  if (!made_persistent_) return result;
  const auto system = iptc::system_files();
  if (persistent_before_) {
    note(iptc::write_durable_file(*system, kPersistent, *persistent_before_, 0644));
  } else {
    note(iptc::remove_durably(*system, kPersistent));
  }
  return result;
}

std::string settings_remain(const Error& why) {
  return fmt::format("Of the host settings not all could be taken back: {}.", why.message);
}

}  // namespace tails::cli
