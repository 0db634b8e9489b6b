#include "fastpath/capture/capture_file.h"

#include <pcap/pcap.h>

#include <algorithm>
#include <string_view>

namespace tails::fastpath {
namespace {

constexpr size_t kEthernetBytes = 14;

uint16_t word_at(wire::Bytes bytes, size_t offset) {
  return static_cast<uint16_t>(std::to_integer<unsigned>(bytes[offset]) << 8 |
                               std::to_integer<unsigned>(bytes[offset + 1]));
}

}  // namespace

void CaptureFile::Close::operator()(pcap* file) const { pcap_close(file); }

Result<CaptureFile> CaptureFile::open(const std::string& path) {
  std::array<char, PCAP_ERRBUF_SIZE> problem{};
  std::unique_ptr<pcap, Close> file(
      pcap_open_offline_with_tstamp_precision(path.c_str(), PCAP_TSTAMP_PRECISION_NANO, problem.data()));
  if (!file) {
    const std::string words(problem.data());
    const bool is_unreadable = words.starts_with(path + ":");  // what open(2) said, and nothing of the file's bytes
    return fail(is_unreadable ? ErrorKind::kRefused : ErrorKind::kRejected,
                "cannot read the capture " + (is_unreadable ? words : path + ": " + words),
                is_unreadable ? "" : "It is to be pcap or pcapng, as tcpdump and tshark write them.");
  }
  const int link = pcap_datalink(file.get());
  switch (link) {
    case DLT_EN10MB: return CaptureFile(path, std::move(file), Link::kEthernet);
    case DLT_LINUX_SLL: return CaptureFile(path, std::move(file), Link::kCooked);
    case DLT_LINUX_SLL2: return CaptureFile(path, std::move(file), Link::kCooked2);
    case DLT_RAW:
    case DLT_IPV4:
    case DLT_IPV6: return CaptureFile(path, std::move(file), Link::kIp);
    default: break;
  }
  const char* name = pcap_datalink_val_to_name(link);
  return fail(ErrorKind::kRejected,
              "the capture " + path + " is of a link of type " + (name != nullptr ? name : std::to_string(link)),
              "Ethernet, Linux' \"any\" device and bare IP can be judged.");
}

Result<std::optional<CapturedFrame>> CaptureFile::next() {
  pcap_pkthdr* header = nullptr;
  const u_char* data = nullptr;
  const int result = pcap_next_ex(file_.get(), &header, &data);
  if (result == PCAP_ERROR_BREAK) return std::nullopt;
  if (result != 1 && std::string_view(pcap_geterr(file_.get())).find("different from the type of the first") !=
                         std::string_view::npos) {
    return fail(ErrorKind::kRejected, "the capture " + path_ + " holds interfaces of different kinds of link",
                "One at a time can be judged. The first one's packets: `tshark -r " + path_ +
                    " -Y 'frame.interface_id == 0' -w one.pcapng`, then `editcap -T ether -F pcap one.pcapng one.pcap` "
                    "(linux-sll, linux-sll2 or rawip where it is no Ethernet).");
  }
  if (result != 1) {
    return fail(ErrorKind::kRejected, "the capture " + path_ + " is damaged: " + pcap_geterr(file_.get()),
                "What stands before that place was judged.");
  }
  const wire::Bytes packet(reinterpret_cast<const std::byte*>(data), header->caplen);
  CapturedFrame frame;
  frame.seconds = static_cast<uint64_t>(std::max<int64_t>(header->ts.tv_sec, 0));
  // Asked for in nanoseconds, they stand where microseconds would.
  frame.nanoseconds = static_cast<uint32_t>(std::clamp<int64_t>(header->ts.tv_usec, 0, 999'999'999));
  frame.kept_bytes = packet.size();
  frame.bytes = packet;
  frame.wire_bytes = std::max<size_t>(header->len, packet.size());
  switch (link_) {
    case Link::kEthernet: break;
    case Link::kCooked:
    case Link::kCooked2: read_cooked(packet, frame); break;
    case Link::kIp: read_ip(packet, frame); break;
  }
  return frame;
}

/// LINKTYPE_LINUX_SLL and LINKTYPE_LINUX_SLL2 (www.tcpdump.org/linktypes.html): who sent it stands in the header, to
/// whom does not.
void CaptureFile::read_cooked(wire::Bytes packet, CapturedFrame& frame) {
  constexpr unsigned kLoopbackHardware = 772, kOutgoing = 4;
  const bool is_second = link_ == Link::kCooked2;
  const size_t header = is_second ? 20 : 16;
  if (packet.size() < header) {
    frame.bytes = {};  // Cut before anything can be told.
    return;
  }
  const unsigned kind = is_second ? std::to_integer<unsigned>(packet[10]) : word_at(packet, 0);
  const unsigned hardware = is_second ? word_at(packet, 8) : word_at(packet, 2);
  const size_t address_bytes = is_second ? std::to_integer<size_t>(packet[11]) : word_at(packet, 4);
  const size_t address_at = is_second ? 12 : 6;
  frame.from = kind == kOutgoing ? Side::kInside : Side::kOutside;
  frame.is_loopback = hardware == kLoopbackHardware;
  frame.has_stations = address_bytes == 6;
  wire::MacAddress source{};
  for (size_t i = 0; frame.has_stations && i < source.size(); ++i) {
    source.at(i) = std::to_integer<uint8_t>(packet[address_at + i]);
  }
  make_frame(packet.subspan(header), header, word_at(packet, is_second ? 0 : 14), source, frame);
}

void CaptureFile::read_ip(wire::Bytes packet, CapturedFrame& frame) {
  frame.has_stations = false;
  const unsigned version = packet.empty() ? 4 : std::to_integer<unsigned>(packet[0]) >> 4;
  make_frame(packet, 0, version == 6 ? wire::kTypeIpv6 : wire::kTypeIpv4, {}, frame);
}

/// An Ethernet frame to nobody in particular around `payload`, which stood behind `link_bytes`.
void CaptureFile::make_frame(wire::Bytes payload, size_t link_bytes, uint16_t type, const wire::MacAddress& source,
                             CapturedFrame& frame) {
  made_.assign(kEthernetBytes, std::byte{0});
  for (size_t i = 0; i < source.size(); ++i) made_[6 + i] = static_cast<std::byte>(source.at(i));
  made_[12] = static_cast<std::byte>(type >> 8);
  made_[13] = static_cast<std::byte>(type & 0xFF);
  made_.insert(made_.end(), payload.begin(), payload.end());
  frame.bytes = made_;
  frame.wire_bytes = frame.wire_bytes - std::min(frame.wire_bytes, link_bytes) + kEthernetBytes;
}

}  // namespace tails::fastpath
