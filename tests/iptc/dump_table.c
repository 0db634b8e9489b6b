/* Writes one xtables table to standard output as the kernel gives it to this program: struct ipt_getinfo, then the
 * entries. Built for 32 bits, it shows what the kernel's compatibility layer makes of a table.
 *
 *   dump_table 4|6 TABLE
 */
#include <arpa/inet.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* IPv6 has the same numbers and the same structures (checked in iptc/kernel/running_kernel.cpp). */
int main(int argc, char** argv) {
  struct ipt_getinfo info;
  struct ipt_get_entries* entries;
  socklen_t size = sizeof info;
  int level;
  int descriptor;
  if (argc != 3) return 2;
  level = strcmp(argv[1], "6") == 0 ? IPPROTO_IPV6 : IPPROTO_IP;
  descriptor = socket(level == IPPROTO_IPV6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
  memset(&info, 0, sizeof info);
  strncpy(info.name, argv[2], sizeof info.name - 1);
  if (getsockopt(descriptor, level, IPT_SO_GET_INFO, &info, &size) != 0) {
    perror("IPT_SO_GET_INFO");
    return 1;
  }
  size = (socklen_t)(sizeof *entries + info.size);
  entries = calloc(1, size);
  if (entries == NULL) return 1;
  strcpy(entries->name, info.name);
  entries->size = info.size;
  if (getsockopt(descriptor, level, IPT_SO_GET_ENTRIES, entries, &size) != 0) {
    perror("IPT_SO_GET_ENTRIES");
    return 1;
  }
  fwrite(&info, sizeof info, 1, stdout);
  fwrite(entries->entrytable, 1, info.size, stdout);
  return fflush(stdout) == 0 ? 0 : 1;
}
