#include "ruleset/text_names.h"

#include <algorithm>

namespace tails::ruleset::text {
namespace {

/// What libxtables knows by itself comes first, as in its own look-up; the rest is /etc/protocols.
constexpr std::array<Word, 60> kProtocols = {{
    {6, "tcp"},        {132, "sctp"},      {17, "udp"},        {136, "udplite"},    {1, "icmp"},
    {58, "ipv6-icmp"}, {58, "icmpv6"},     {50, "esp"},        {51, "ah"},          {135, "mobility-header"},
    {135, "ipv6-mh"},  {135, "mh"},        {0, "all"},         {0, "ip"},           {0, "hopopt"},
    {2, "igmp"},       {3, "ggp"},         {4, "ipencap"},     {5, "st"},           {8, "egp"},
    {9, "igp"},        {12, "pup"},        {20, "hmp"},        {22, "xns-idp"},     {27, "rdp"},
    {29, "iso-tp4"},   {33, "dccp"},       {36, "xtp"},        {37, "ddp"},         {38, "idpr-cmtp"},
    {41, "ipv6"},      {43, "ipv6-route"}, {44, "ipv6-frag"},  {45, "idrp"},        {46, "rsvp"},
    {47, "gre"},       {57, "skip"},       {59, "ipv6-nonxt"}, {60, "ipv6-opts"},   {73, "rspf"},
    {81, "vmtp"},      {88, "eigrp"},      {89, "ospf"},       {93, "ax.25"},       {94, "ipip"},
    {97, "etherip"},   {98, "encap"},      {103, "pim"},       {108, "ipcomp"},     {112, "vrrp"},
    {115, "l2tp"},     {124, "isis"},      {133, "fc"},        {137, "mpls-in-ip"}, {138, "manet"},
    {139, "hip"},      {140, "shim6"},     {141, "wesp"},      {142, "rohc"},       {143, "ethernet"},
}};

}  // namespace

std::optional<std::string_view> protocol_name(uint8_t protocol) {
  if (protocol == 0) return std::nullopt;
  const auto* const at = std::ranges::find(kProtocols, protocol, &Word::value);
  if (at == kProtocols.end()) return std::nullopt;
  return at->name;
}

std::optional<uint8_t> protocol_number(std::string_view name) {
  const auto* const at = std::ranges::find(kProtocols, name, &Word::name);
  if (at == kProtocols.end()) return std::nullopt;
  return static_cast<uint8_t>(at->value);
}

}  // namespace tails::ruleset::text
