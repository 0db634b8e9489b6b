#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fastpath/captured_frame.h"
#include "net/result.h"

struct pcap;

namespace tails::fastpath {

/// A capture as libpcap reads it: pcap of either byte order, in micro- or nanoseconds, and pcapng; of Ethernet, of
/// Linux' "any" device (LINKTYPE_LINUX_SLL and _SLL2), or of bare IP (LINKTYPE_RAW, _IPV4, _IPV6). Moves only.
class CaptureFile {
 public:
  /// kRefused where the file cannot be read, kRejected where it is no capture, or of another kind of link.
  static Result<CaptureFile> open(const std::string& path);

  /// The next frame; its bytes are there until the next call. Nullopt at the end. kRejected where the file is damaged:
  /// what came before stands.
  Result<std::optional<CapturedFrame>> next();

 private:
  struct Close {
    void operator()(pcap* file) const;
  };
  enum class Link : uint8_t { kEthernet, kCooked, kCooked2, kIp };

  CaptureFile(std::string path, std::unique_ptr<pcap, Close> file, Link link)
      : path_(std::move(path)), file_(std::move(file)), link_(link) {}
  void read_cooked(wire::Bytes packet, CapturedFrame& frame);
  void read_ip(wire::Bytes packet, CapturedFrame& frame);
  void make_frame(wire::Bytes payload, size_t link_bytes, uint16_t type, const wire::MacAddress& source,
                  CapturedFrame& frame);

  std::string path_;
  std::unique_ptr<pcap, Close> file_;
  Link link_;
  std::vector<std::byte> made_;
};

}  // namespace tails::fastpath
