#pragma once

#include "host/finding.h"
#include "host/machine_files.h"
#include "net/address.h"

namespace tails::host {

/// Whether this machine asks `resolver` and nobody else, and whether something will change that: resolv.conf(5),
/// NetworkManager.conf(5) (`dns=none`), resolvconf(8), dhclient.conf(5), systemd-resolved(8), nsswitch.conf(5). Only
/// what is installed is looked at. Pure but for the files.
Findings audit_resolver(const MachineFiles& files, const IpAddress& resolver);

/// Whether a proxy that programs are told to use lies outside this machine (/etc/environment, apt.conf(5)): the
/// policy blocks the way there, and names would be told to whoever runs it. A proxy on loopback is the second line of
/// defence and no finding.
Findings audit_proxies(const MachineFiles& files);

/// Programs that load rules of their own: ufw, firewalld, docker, netfilter-persistent, the nftables service.
Findings audit_filter_programs(const MachineFiles& files);

}  // namespace tails::host
