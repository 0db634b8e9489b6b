// What sending one frame costs, with all that the kernel does with it behind the interface: the loop that
// bench/fastpath times.
//
//   frame_probe INTERFACE CAPTURE COUNT
//
// Sends the frames of CAPTURE (pcap of this machine's byte order, Ethernet), again and again until COUNT have gone out,
// past the queues of INTERFACE. Over veth the other end's work is done in the sender's own time. Prints nanoseconds of
// one frame.
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <vector>

namespace {

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "frame_probe: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

std::vector<std::vector<char>> read_frames(const char* path) {
  std::ifstream file(path, std::ios::binary);
  file.ignore(24);
  std::vector<std::vector<char>> frames;
  uint32_t header[4];
  while (file.read(reinterpret_cast<char*>(header), sizeof header)) {
    std::vector<char> frame(header[2]);
    file.read(frame.data(), static_cast<std::streamsize>(frame.size()));
    frames.push_back(std::move(frame));
  }
  if (frames.empty()) die("no frames");
  return frames;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) die("usage");
  std::vector<std::vector<char>> frames = read_frames(argv[2]);
  const long count = std::atol(argv[3]);
  const int fd = socket(AF_PACKET, SOCK_RAW, 0);
  sockaddr_ll at{};
  at.sll_family = AF_PACKET;
  at.sll_ifindex = static_cast<int>(if_nametoindex(argv[1]));
  if (fd < 0 || at.sll_ifindex == 0 || bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) die(argv[1]);
  const int on = 1;
  setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);

  constexpr unsigned kBatch = 64;
  std::vector<iovec> data;
  for (auto& frame : frames) data.push_back({frame.data(), frame.size()});
  std::vector<mmsghdr> messages(data.size());
  for (size_t i = 0; i < data.size(); ++i) {
    messages[i].msg_hdr.msg_iov = &data[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  const auto begin = std::chrono::steady_clock::now();
  size_t next = 0;
  for (long sent = 0; sent < count;) {
    const size_t want = std::min<size_t>({kBatch, messages.size() - next, static_cast<size_t>(count - sent)});
    const int done = sendmmsg(fd, &messages[next], static_cast<unsigned>(want), 0);
    if (done < 0 && errno != ENOBUFS && errno != EINTR) die("sendmmsg");
    if (done <= 0) continue;
    sent += done;
    next = (next + static_cast<size_t>(done)) % messages.size();
  }
  const std::chrono::duration<double, std::nano> elapsed = std::chrono::steady_clock::now() - begin;
  std::printf("%.1f\n", elapsed.count() / static_cast<double>(count));
  return 0;
}
