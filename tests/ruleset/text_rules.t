# One line for each rule: what is read; what is written ("=": the same); what is expected.
#
#   *TABLE CHAIN FAMILIES   where the rules below stand: "46" is IPv4 and IPv6
#   OK        we read and write it so, and so does iptables 1.8.9 (legacy)
#   FAIL      both refuse it
#   OURS      we read and write it so; iptables refuses it, or forgets a part of it when it writes
#   THEIRS    iptables reads it; we refuse it
#
# A rule may hold ";" only between quotes.

*filter OUTPUT 46
;=;OK
-j ACCEPT;=;OK
-j DROP;=;OK
-j RETURN;=;OK
--jump ACCEPT;-j ACCEPT;OK
-jACCEPT;;FAIL
--ju ACCEPT;-j ACCEPT;OK
--jump=ACCEPT;;FAIL
-j;;FAIL
-j "";;FAIL
-j ACCEPT -j DROP;;FAIL
-j INPUT;;FAIL
-j a23456789b123456789c12345678;=;OURS
-j a23456789b123456789c123456789;;FAIL
-g nowhere;;FAIL
ACCEPT;;FAIL
-j ACCEPT extra;;FAIL
-- -j ACCEPT;;FAIL
-v -j ACCEPT;-j ACCEPT;OK
-n -j ACCEPT;;FAIL
-x -j ACCEPT;;FAIL
-t filter -j ACCEPT;;FAIL
-w -j ACCEPT;;FAIL
--no-such-option 1;;FAIL
! -j ACCEPT;;FAIL
-j ACCEPT !;;FAIL
! ! -o lo;;FAIL
-c 5 6 -j ACCEPT;-j ACCEPT;OK
--set-counters 5,6 -j ACCEPT;-j ACCEPT;OK
-c 5 -j ACCEPT;;FAIL
-c x y -j ACCEPT;;FAIL

# Interfaces
-o lo;=;OK
-o eth+;=;OK
! -o lo;=;OK
-o ! lo;! -o lo;OURS
-o +;;OK
! -o +;=;OURS
-o a23456789012345;=;OK
-o a234567890123456;;FAIL
-o "";;FAIL
--out-interface lo;-o lo;OK
--out lo;-o lo;OK
-o lo -o eth0;;FAIL
-olo;;THEIRS
--out-interface=lo;;FAIL

# Protocols
-p tcp;=;OK
-p TCP;-p tcp;OK
-p 6;-p tcp;OK
-p 0x11;-p udp;OK
--protocol udp;-p udp;OK
--proto udp;-p udp;OK
! -p udp;=;OK
-p ! udp;! -p udp;OURS
-p all;;OK
-p 0;;OK
! -p all;;FAIL
-p 2;-p igmp;OK
-p 4;-p ipencap;OK
-p 7;=;OK
-p 47;-p gre;OK
-p 50;-p esp;OK
-p 51;-p ah;OK
-p 58;-p ipv6-icmp;OK
-p icmpv6;-p ipv6-icmp;OK
-p 89;-p ospf;OK
-p 93;-p ax.25;OK
-p 132;-p sctp;OK
-p 135;-p mobility-header;OK
-p mh;-p mobility-header;OK
-p 136;-p udplite;OK
-p 143;-p ethernet;OK
-p 200;=;OK
-p 255;=;OK
-p 256;;FAIL
-p bogus;;FAIL
-p -1;;FAIL
-p 06;;THEIRS
-p tcp -p udp;;FAIL

# tcp
-p tcp -m tcp;=;OK
-p tcp --dport 80;-p tcp -m tcp --dport 80;OK
--dport 80 -p tcp;;FAIL
-p tcp -m tcp --dport 80;=;OK
-m tcp -p tcp --dport 80;-p tcp -m tcp --dport 80;OK
-p tcp --destination-port 80;-p tcp -m tcp --dport 80;OK
-p tcp --dpo 80;-p tcp -m tcp --dport 80;OK
-p tcp --dport=80;-p tcp -m tcp --dport 80;OK
-p tcp --dport 0;-p tcp -m tcp --dport 0;OK
-p tcp --dport 65535;-p tcp -m tcp --dport 65535;OK
-p tcp --dport 65536;;FAIL
-p tcp --dport -1;;FAIL
-p tcp --dport;;FAIL
-p tcp --dport "";;FAIL
-p tcp --dport 80:90;-p tcp -m tcp --dport 80:90;OK
-p tcp --dport :90;-p tcp -m tcp --dport 0:90;OK
-p tcp --dport 80:;-p tcp -m tcp --dport 80:65535;OK
-p tcp --dport :;-p tcp -m tcp;OK
-p tcp --dport 0:65535;-p tcp -m tcp;OK
-p tcp --dport 80:80;-p tcp -m tcp --dport 80;OK
-p tcp --dport 90:80;;FAIL
-p tcp --dport 80:90:100;;FAIL
-p tcp --dport 80-90;;FAIL
-p tcp ! --dport 80;-p tcp -m tcp ! --dport 80;OK
-p tcp --dport ! 80;-p tcp -m tcp ! --dport 80;OURS
-p tcp ! --dport 0:65535;-p tcp -m tcp ! --dport 0:65535;OURS
-p tcp --dport http;;THEIRS
-p tcp --dport 080;;FAIL
-p tcp --dport 010;;THEIRS
-p tcp --dport 0x50;-p tcp -m tcp --dport 80;OK
-p tcp --dport 80 --dport 90;;FAIL
-p tcp --sport 1024: --dport 80;-p tcp -m tcp --sport 1024:65535 --dport 80;OK
-p tcp --dport 80 --sport 1024:;-p tcp -m tcp --sport 1024:65535 --dport 80;OK
-p tcp --source-port 1;-p tcp -m tcp --sport 1;OK
-p tcp --syn;-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN;OK
-p tcp --syn ! --sport 1;-p tcp -m tcp ! --sport 1 --tcp-flags FIN,SYN,RST,ACK SYN;OK
-p tcp ! --syn;-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN;OK
-p tcp --tcp-flags ALL NONE;-p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG NONE;OK
-p tcp --tcp-flags syn,fin fin;-p tcp -m tcp --tcp-flags FIN,SYN FIN;OK
-p tcp --tcp-flags NONE SYN;-p tcp -m tcp --tcp-flags NONE SYN;OURS
-p tcp --tcp-flags NONE NONE;-p tcp -m tcp;OK
-p tcp ! --tcp-flags NONE NONE;-p tcp -m tcp ! --tcp-flags NONE NONE;OK
-p tcp --tcp-flags SYN;;FAIL
-p tcp --tcp-flags SYN,ECE SYN;;FAIL
-p tcp --syn --tcp-flags SYN SYN;;FAIL
-p tcp --syn=1;;FAIL
-p tcp --tcp-option 7;-p tcp -m tcp --tcp-option 7;OK
-p tcp ! --tcp-option 255;-p tcp -m tcp ! --tcp-option 255;OK
-p tcp --tcp-option 0;;FAIL
-p tcp --tcp-option 256;;FAIL
-p tcp --tcp-option 7 --tcp-flags SYN SYN --dport 1 --sport 2;-p tcp -m tcp --sport 2 --dport 1 --tcp-option 7 --tcp-flags SYN SYN;OK
-m tcp --dport 80;;FAIL
! -p tcp -m tcp --dport 80;;FAIL
-p udp -m tcp --dport 80;;FAIL
-p tcp -m tcp --dport 80 -m tcp --sport 1;=;OK
-p tcp --dport 80 -m tcp --sport 1;-p tcp -m tcp --dport 80 -m tcp --sport 1;OK
-m bogus;=;OURS

# udp
-p udp -m udp;=;OK
-p udp --dport 53;-p udp -m udp --dport 53;OK
-p udp --sport 67:68 ! --dport 53;-p udp -m udp --sport 67:68 ! --dport 53;OK
-p udp --dport :;-p udp -m udp;OK
-p udp --dport domain;;THEIRS
-p udp --syn;;FAIL
-p tcp -m udp --dport 53;;FAIL

# multiport
-p tcp -m multiport --dports 80;=;OK
-p tcp -m multiport --dports 80,443,8000:8080;=;OK
-p tcp -m multiport --destination-ports 80,443;-p tcp -m multiport --dports 80,443;OK
-p udp -m multiport --sports 1,2;=;OK
-p udp -m multiport --source-ports 1,2;-p udp -m multiport --sports 1,2;OK
-p udp -m multiport --ports 1,2;=;OK
-p udp -m multiport ! --ports 1,2;=;OK
-p udp -m multiport --ports ! 1,2;-p udp -m multiport ! --ports 1,2;OURS
-p sctp -m multiport --dports 1;=;OK
-p dccp -m multiport --dports 1;=;OK
-p udplite -m multiport --dports 1;=;OK
-p tcp -m multiport --dports 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15;=;OK
-p tcp -m multiport --dports 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16;;FAIL
-p tcp -m multiport --dports 1,2,3,4,5,6,7,8,9,10,11,12,13,14:15;=;OK
-p tcp -m multiport --dports 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15:16;;FAIL
-p tcp -m multiport --dports 80:;;FAIL
-p tcp -m multiport --dports :80;;FAIL
-p tcp -m multiport --dports "";;FAIL
-p tcp -m multiport --dports 80,;;FAIL
-p tcp -m multiport --dports 90:80;;FAIL
-p tcp -m multiport --dports http;;THEIRS
-p tcp -m multiport;;FAIL
-m multiport --dports 80;;FAIL
-p icmp -m multiport --dports 80;;FAIL
! -p tcp -m multiport --dports 80;;FAIL
-p tcp -m multiport --dports 80 --sports 90;;FAIL

# owner
-m owner --uid-owner 0;=;OK
-m owner --uid-owner 1000;=;OK
-m owner --uid-owner 4294967294;=;OK
-m owner --uid-owner 4294967295;;FAIL
-m owner --uid-owner 1000-1003;=;OK
-m owner --uid-owner 1000:1003;-m owner --uid-owner 1000-1003;OK
-m owner --uid-owner 1000-1000;-m owner --uid-owner 1000;OK
-m owner ! --uid-owner 1000;=;OK
-m owner --uid-owner ! 1000;-m owner ! --uid-owner 1000;OURS
-m owner --uid-owner 0x3e8;-m owner --uid-owner 1000;OK
-m owner --uid-owner root;;THEIRS
-m owner --uid-owner no-such-user;;FAIL
-m owner --uid-owner "";;FAIL
-m owner --gid-owner 5;=;OK
-m owner ! --gid-owner 5-6;=;OK
-m owner --gid-owner 5 --uid-owner 6;-m owner --uid-owner 6 --gid-owner 5;OK
-m owner --socket-exists;=;OK
-m owner ! --socket-exists;=;OK
-m owner --socket-exists ! --uid-owner 1;=;OK
-m owner ! --socket-exists ! --gid-owner 1;=;OK
-m owner --uid-owner 1 --socket-exists;-m owner --socket-exists --uid-owner 1;OK
-m owner --gid-owner 5 --suppl-groups;=;OK
-m owner --suppl-groups --gid-owner 5;;FAIL
-m owner --uid-owner 1 --uid-owner 2;;FAIL
-m owner;;FAIL

# state and conntrack
-m state --state NEW;=;OK
-m state --state ESTABLISHED,RELATED;-m state --state RELATED,ESTABLISHED;OK
-m state --state INVALID,NEW,RELATED,ESTABLISHED,UNTRACKED;=;OK
-m state --state new,est;-m state --state NEW,ESTABLISHED;OK
-m state ! --state NEW;=;OK
-m state --state ! NEW;-m state ! --state NEW;OURS
-m state --state SNAT;;FAIL
-m state --state "";;FAIL
-m state --state NEW,;;FAIL
-m state --state BOGUS;;FAIL
-m state;;FAIL
-m state --ctstate NEW;;FAIL
-m conntrack --ctstate NEW;=;OK
-m conntrack --ctstate INVALID,NEW,RELATED,ESTABLISHED,UNTRACKED,SNAT,DNAT;=;OK
-m conntrack --ctstate DNAT,SNAT;-m conntrack --ctstate SNAT,DNAT;OK
-m conntrack ! --ctstate RELATED;=;OK
-m conntrack --ctstatus NONE;=;OK
-m conntrack --ctstatus EXPECTED,SEEN_REPLY,ASSURED,CONFIRMED;=;OK
-m conntrack --ctstatus confirmed,assured;-m conntrack --ctstatus ASSURED,CONFIRMED;OK
-m conntrack ! --ctstatus ASSURED;=;OK
-m conntrack --ctdir ORIGINAL;=;OK
-m conntrack --ctdir reply;-m conntrack --ctdir REPLY;OK
-m conntrack ! --ctdir REPLY;;FAIL
-m conntrack --ctdir BOTH;;FAIL
-m conntrack --ctdir REPLY --ctstatus NONE --ctstate NEW;-m conntrack --ctstate NEW --ctstatus NONE --ctdir REPLY;OK
-m conntrack --ctproto 6;=;OK
-m conntrack ! --ctproto 6;=;OK
-m conntrack --ctstate NEW --ctproto 17 --ctorigdstport 53 --ctdir ORIGINAL;=;OK
-m conntrack --ctstate NEW --ctorigsrcport 1:2 --ctreplsrcport 3 --ctrepldstport 4;=;OK
-m conntrack --ctexpire 1:5;=;OK
-m conntrack;;FAIL

# limit
-m limit;-m limit --limit 3/hour;OK
-m limit --limit 20/second;-m limit --limit 20/sec;OK
-m limit --limit 20;-m limit --limit 20/sec;OK
-m limit --limit 20/s --limit-burst 100;-m limit --limit 20/sec --limit-burst 100;OK
-m limit --limit 20/sec --limit-burst 5;-m limit --limit 20/sec;OK
-m limit --limit 6/minute;-m limit --limit 6/min;OK
-m limit --limit 7/min;=;OK
-m limit --limit 2/day;=;OK
-m limit --limit 1/day;=;OURS
-m limit --limit 11/hour;=;OK
-m limit --limit 60/min;-m limit --limit 1/sec;OK
-m limit --limit 10000/sec;=;OK
-m limit --limit 9000/sec;-m limit --limit 10000/sec;OK
-m limit --limit 333/sec;=;OK
-m limit --limit 10001/sec;;FAIL
-m limit --limit 0/sec;;FAIL
-m limit --limit 5/fortnight;;FAIL
-m limit --limit 5/;;FAIL
-m limit --limit x;;FAIL
-m limit --limit 5x/sec;;THEIRS
-m limit --limit-burst 1;-m limit --limit 3/hour --limit-burst 1;OK
-m limit --limit-burst 10001;;FAIL
-m limit ! --limit 5/sec;;FAIL

# mark and connmark
-m mark --mark 1;-m mark --mark 0x1;OK
-m mark --mark 0x1/0xff;=;OK
-m mark --mark 0/0;-m mark --mark 0x0/0x0;OK
-m mark ! --mark 0xffffffff;=;OK
-m mark --mark 4294967295;-m mark --mark 0xffffffff;OK
-m mark --mark 4294967296;;FAIL
-m mark --mark 1/;;FAIL
-m mark --mark x;;FAIL
-m mark --mark 0x;;FAIL
-m mark;;FAIL
-m connmark --mark 0x1;=;OK
-m connmark ! --mark 0x10/0xf0;=;OK
-m connmark;;FAIL
-m mark --mark 0x1 -m connmark --mark 0x2;=;OK
-m connmark --mark 0x2 -m mark --mark 0x1;=;OK
-m mark --mark 0x1 -m mark --mark 0x2;=;OK

# addrtype
-m addrtype --dst-type LOCAL;=;OK
-m addrtype --dst-type local,anycast;-m addrtype --dst-type LOCAL,ANYCAST;OK
-m addrtype --dst-type BROADCAST,THROW,NAT,XRESOLVE;=;OURS
-m addrtype --src-type UNICAST;=;OK
-m addrtype ! --src-type UNICAST ! --dst-type LOCAL;=;OK
-m addrtype --dst-type ! LOCAL;-m addrtype ! --dst-type LOCAL;OURS
-m addrtype --dst-type LOCAL --src-type UNICAST;-m addrtype --src-type UNICAST --dst-type LOCAL;OK
-m addrtype --dst-type LOCAL --limit-iface-out;=;OK
-m addrtype --dst-type UN;-m addrtype --dst-type UNSPEC;OK
-m addrtype --dst-type BOGUS;;FAIL
-m addrtype --dst-type LOCAL --limit-iface-in --limit-iface-out;;FAIL
-m addrtype --limit-iface-out;;FAIL
-m addrtype;;FAIL

# comment: what is quoted, what is escaped
-m comment --comment plain;=;OK
-m comment --comment "two words" -j ACCEPT;=;OK
-m comment --comment "it\'s \"so\" \\ ;";=;OK
-m comment --comment "it's";-m comment --comment "it\'s";OK
-m comment --comment a_b-c1;=;OK
-m comment --comment "a_b";-m comment --comment a_b;OK
-m comment --comment a.b;-m comment --comment "a.b";OK
-m comment --comment "";=;OK
-m comment --comment "-j DROP" -j ACCEPT;=;OK
-m comment --comment -j -j ACCEPT;-m comment --comment -j -j ACCEPT;OK
-m comment --comment ! -j ACCEPT;-m comment --comment "!" -j ACCEPT;OK
-m comment --comment "åäö €";=;OK
-m comment --comment "$(reboot) `reboot` %s %n";=;OK
-m comment --comment "not closed;;THEIRS
-m comment ! --comment x;;FAIL
-m comment;;FAIL

# LOG
-j LOG;=;OK
-j LOG --log-prefix x;=;OK
-j LOG --log-prefix "Dropped outbound packet: " --log-level 7 --log-uid;=;OK
-j LOG --log-prefix "12345678901234567890123456789";-j LOG --log-prefix 12345678901234567890123456789;OK
-j LOG --log-prefix "123456789012345678901234567890";-j LOG --log-prefix 12345678901234567890123456789;OK
-j LOG --log-prefix "";;FAIL
-j LOG --log-level debug;-j LOG --log-level 7;OK
-j LOG --log-level warning;-j LOG;OK
-j LOG --log-level 4;-j LOG;OK
-j LOG --log-level 0;=;OK
-j LOG --log-level error;-j LOG --log-level 3;OK
-j LOG --log-level 8;;FAIL
-j LOG --log-level bogus;;FAIL
-j LOG --log-tcp-sequence --log-tcp-options --log-ip-options --log-uid --log-macdecode;=;OK
-j LOG --log-macdecode --log-uid --log-level 6 --log-prefix a;-j LOG --log-prefix a --log-level 6 --log-uid --log-macdecode;OK
-j LOG --log-uid --log-uid;;FAIL
-j LOG --bogus;;FAIL
--log-uid;;FAIL

# NFLOG
-j NFLOG;=;OK
-j NFLOG --nflog-group 5;=;OK
-j NFLOG --nflog-group 0;-j NFLOG;OK
-j NFLOG --nflog-group 65535;=;OK
-j NFLOG --nflog-group 65536;;FAIL
-j NFLOG --nflog-prefix "a b" --nflog-group 1 --nflog-size 64 --nflog-threshold 20;=;OK
-j NFLOG --nflog-threshold 20 --nflog-size 0 --nflog-prefix x;-j NFLOG --nflog-prefix x --nflog-size 0 --nflog-threshold 20;OK
-j NFLOG --nflog-prefix 1234567890123456789012345678901234567890123456789012345678901234;-j NFLOG --nflog-prefix 123456789012345678901234567890123456789012345678901234567890123;OK
-j NFLOG --nflog-range 10;=;OK
-j NFLOG --nflog-range 10 --nflog-size 10;;FAIL

# REJECT of TCP
-p tcp -j REJECT --reject-with tcp-reset;=;OK

# dscp
-m dscp --dscp 0;-m dscp --dscp 0x00;OK
-m dscp --dscp 0x3f;=;OK
-m dscp ! --dscp 0x2e;=;OK
-m dscp --dscp-class EF;-m dscp --dscp 0x2e;OK
-m dscp --dscp-class be;-m dscp --dscp 0x00;OK
-m dscp --dscp-class AF41;-m dscp --dscp 0x22;OK
-m dscp --dscp-class BOGUS;;FAIL
-m dscp --dscp 64;;FAIL
-m dscp;;FAIL

# Matches and targets that we do not know keep their words
-m length --length 3:5;=;OK
-m length ! --length 3:5 -j ACCEPT;=;OK
-m quota --quota 5 -j ACCEPT;=;OK
-m statistic --mode random --probability 0.50000000000;=;OK
-m string --string "a b" --algo bm;=;OK
-m hashlimit --hashlimit-above 3/sec --hashlimit-burst 5 --hashlimit-name foo;=;OK
-p sctp --dport 80;-p sctp -m sctp --dport 80;OK
-p sctp -m sctp --dport 80:90 ! --sport 1;=;OURS
-p 132 --dport 80;-p sctp -m sctp --dport 80;OK
-p dccp --dport 80;-p dccp -m dccp --dport 80;OK
-p tcp -m length --length 3 --dport 80;-p tcp -m length --length 3 -m tcp --dport 80;OK
-m conntrack -m length --length 3 --ctstate NEW;-m conntrack --ctstate NEW -m length --length 3;OK
-m length --length 3 -m comment --comment x -j NFQUEUE --queue-num 3;=;OK
-j NFQUEUE --queue-balance 0:3 --queue-bypass;=;OK
-j AUDIT --type accept;=;OK
-p tcp -m tcp --dport 22 -m recent --set --name ssh --mask 255.255.255.255 --rsource -j ACCEPT;=;OURS
-m bogus --option "a b" ! --other c -j BOGUS --this "x y" --that;=;OURS
-m conntrack --opaque 3:00ff -j LOG --opaque 0:12;=;OURS
-m bogus --opaque 1:;=;OURS
-m conntrack --opaque 0: -j LOG --opaque 0:;=;OURS
-m tcp --opaque 0: -j ACCEPT;=;OURS
-m bogus --opaque 0:;-m bogus;OURS
-m bogus --opaque x;;FAIL
-m bogus --opaque 1:0;;FAIL
-m bogus --opaque 1:zz;;FAIL
--opaque 1:00;;FAIL

*filter OUTPUT 4
-s 192.0.2.1;-s 192.0.2.1/32;OK
-s 192.0.2.1/24;-s 192.0.2.0/24;OK
-s 192.0.2.0/255.255.255.0;-s 192.0.2.0/24;OK
-s 10.1.2.3/255.0.255.0;-s 10.0.2.0/255.0.255.0;OK
-s 10/8;-s 10.0.0.0/8;OK
-s 10.1/16;-s 10.1.0.0/16;OK
-s 0.0.0.0;-s 0.0.0.0/32;OK
-s 0.0.0.0/0;;OK
-s 0/0;;OK
-s any/0;;OK
-s 255.255.255.255;-s 255.255.255.255/32;OK
! -s 192.0.2.1;! -s 192.0.2.1/32;OK
-s ! 192.0.2.1;! -s 192.0.2.1/32;OURS
! -s 0.0.0.0/0;=;OK
--source 192.0.2.1;-s 192.0.2.1/32;OK
--src 192.0.2.1;-s 192.0.2.1/32;OK
--dst 192.0.2.1 --src 192.0.2.2;-s 192.0.2.2/32 -d 192.0.2.1/32;OK
--destination 192.0.2.1;-d 192.0.2.1/32;OK
--dest 192.0.2.1;-d 192.0.2.1/32;OK
-d 127.0.0.0/8 -o lo -p tcp -j ACCEPT -m state --state NEW;-d 127.0.0.0/8 -o lo -p tcp -m state --state NEW -j ACCEPT;OK
-s 192.0.2.1/33;;FAIL
-s 192.0.2.1/-1;;FAIL
-s 192.0.2.1/;;FAIL
-s 192.0.2.256;;FAIL
-s 192.0.2.1.1;;FAIL
-s 192.0.2.01;;THEIRS
-s 192.0.2.1/08;;FAIL
-s ::1;;FAIL
-s no-such-host.invalid;;FAIL
-s localhost;;THEIRS
-s "";;FAIL
-s 192.0.2.1 -s 192.0.2.2;;FAIL
! -s 192.0.2.1,192.0.2.2;;FAIL
-f;=;OK
-f ! -s 10.0.0.0/8;! -s 10.0.0.0/8 -f;OK
! -f;=;OK
--fragments;-f;OK
--frag -j DROP;-f -j DROP;OK
-s 1.2.3.4/32 -d 5.6.7.8/32 -o eth0 -p udp -f -m udp --dport 1;=;OK
-p icmp -m icmp --icmp-type 8;=;OK
-p icmp --icmp-type 8;-p icmp -m icmp --icmp-type 8;OK
-p icmp --icmp-type any;-p icmp -m icmp --icmp-type any;OK
-p icmp ! --icmp-type any;-p icmp -m icmp ! --icmp-type any;OK
-p icmp --icmp-type 255;-p icmp -m icmp --icmp-type any;OK
-p icmp --icmp-type 3/1;-p icmp -m icmp --icmp-type 3/1;OK
-p icmp --icmp-type 3/1:5;-p icmp -m icmp --icmp-type 3/1:5;OURS
-p icmp --icmp-type 3/0:255;-p icmp -m icmp --icmp-type 3;OK
-p icmp ! --icmp-type 3;-p icmp -m icmp ! --icmp-type 3;OK
-p icmp --icmp-type echo-request;-p icmp -m icmp --icmp-type 8;OK
-p icmp --icmp-type ping;-p icmp -m icmp --icmp-type 8;OK
-p icmp --icmp-type destination-unreachable;-p icmp -m icmp --icmp-type 3;OK
-p icmp --icmp-type fragmentation-needed;-p icmp -m icmp --icmp-type 3/4;OK
-p icmp --icmp-type fragm;-p icmp -m icmp --icmp-type 3/4;OK
-p icmp --icmp-type tos-host-red;-p icmp -m icmp --icmp-type 5/3;OK
-p icmp --icmp-type address-mask-reply;-p icmp -m icmp --icmp-type 18;OK
-p icmp --icmp-type echo;;FAIL
-p icmp --icmp-type bogus;;FAIL
-p icmp --icmp-type 256;;FAIL
-p icmp --icmp-type 3/256;;FAIL
-p icmp --icmp-type 3:4;;FAIL
-p icmp -m icmp;;FAIL
-m icmp --icmp-type 8;;FAIL
-p icmpv6 --icmpv6-type 1;-p ipv6-icmp -m icmpv6 --icmpv6-type 1;OURS
-p 1 --icmp-type 0;-p icmp -m icmp --icmp-type 0;OK
-j REJECT;-j REJECT --reject-with icmp-port-unreachable;OK
-j REJECT --reject-with icmp-net-unreachable;=;OK
-j REJECT --reject-with icmp-host-unreachable;=;OK
-j REJECT --reject-with icmp-proto-unreachable;=;OK
-j REJECT --reject-with icmp-port-unreachable;=;OK
-j REJECT --reject-with icmp-net-prohibited;=;OK
-j REJECT --reject-with icmp-host-prohibited;=;OK
-j REJECT --reject-with icmp-admin-prohibited;=;OK
-j REJECT --reject-with net-unreach;-j REJECT --reject-with icmp-net-unreachable;OK
-j REJECT --reject-with icmp-p;-j REJECT --reject-with icmp-proto-unreachable;OK
-p tcp -j REJECT --reject-with tcp-rst;-p tcp -j REJECT --reject-with tcp-reset;OK
-j REJECT --reject-with icmp6-no-route;;FAIL
-j REJECT --reject-with bogus;;FAIL
-m conntrack --ctorigsrc 192.0.2.1 --ctrepldst 10.0.0.0/8;=;OK
-m conntrack ! --ctorigdst 192.0.2.1;=;OK
-m iprange --src-range 192.0.2.1-192.0.2.3;=;OK
-m ttl --ttl-eq 64 -j ACCEPT;=;OK
-4 -j ACCEPT;-j ACCEPT;OK
--ipv4 -j ACCEPT;-j ACCEPT;OK

*filter OUTPUT 6
-s 2001:db8::1;-s 2001:db8::1/128;OK
-s 2001:DB8:0:0::1/64;-s 2001:db8::/64;OK
-s 2001:db8::1/ffff:ffff::;-s 2001:db8::/32;OK
-s 2001:db8::5:6/ffff::ff;-s 2001::6/ffff::ff;OK
-s ::/0;;OK
! -s ::/0;=;OK
-s ::1 -d ::1;-s ::1/128 -d ::1/128;OK
-s ! ::1;! -s ::1/128;OURS
-s 0::0/1;-s ::/1;OK
-s ::ffff:192.0.2.1;-s ::ffff:192.0.2.1/128;OK
-s 2001:db8::1/129;;FAIL
-s 192.0.2.1;;FAIL
-s fe80::1%eth0;;FAIL
-f;;FAIL
-p icmpv6 --icmpv6-type 1;-p ipv6-icmp -m icmp6 --icmpv6-type 1;OK
-p ipv6-icmp -m icmp6 --icmpv6-type 1/4;=;OK
-p icmpv6 -m icmpv6 --icmpv6-type 1;-p ipv6-icmp -m icmp6 --icmpv6-type 1;OK
-p icmpv6 -m ipv6-icmp --icmpv6-type 1;-p ipv6-icmp -m icmp6 --icmpv6-type 1;OK
-p 58 ! --icmpv6-type 255;-p ipv6-icmp -m icmp6 ! --icmpv6-type 255;OK
-p icmpv6 --icmpv6-type 1/0:3;-p ipv6-icmp -m icmp6 --icmpv6-type 1/0:3;OURS
-p icmpv6 --icmpv6-type neighbour-solicitation;-p ipv6-icmp -m icmp6 --icmpv6-type 135;OK
-p icmpv6 --icmpv6-type neighbor-adv;-p ipv6-icmp -m icmp6 --icmpv6-type 136;OK
-p icmpv6 --icmpv6-type packet-too-big;-p ipv6-icmp -m icmp6 --icmpv6-type 2;OK
-p icmpv6 --icmpv6-type no-route;-p ipv6-icmp -m icmp6 --icmpv6-type 1/0;OK
-p icmpv6 --icmpv6-type any;;FAIL
-p icmpv6 -m icmp6;;FAIL
-p icmp --icmp-type 8;-p icmp -m icmp --icmp-type 8;OURS
-j REJECT;-j REJECT --reject-with icmp6-port-unreachable;OK
-j REJECT --reject-with icmp6-no-route;=;OK
-j REJECT --reject-with icmp6-adm-prohibited;=;OK
-j REJECT --reject-with icmp6-addr-unreachable;=;OK
-j REJECT --reject-with icmp6-port-unreachable;=;OK
-j REJECT --reject-with icmp6-policy-fail;=;OK
-j REJECT --reject-with icmp6-reject-route;=;OK
-j REJECT --reject-with no-route;-j REJECT --reject-with icmp6-no-route;OK
-j REJECT --reject-with icmp-port-unreachable;;FAIL
-m conntrack --ctorigsrc 2001:db8::1;=;OK
-m frag --fragid 1;=;OURS
-m hl --hl-eq 64;=;OK
-6 -j ACCEPT;-j ACCEPT;OK

*filter INPUT 46
-i lo;=;OK
-i eth+ -j DROP;=;OK
! -i lo;=;OK
-i !lo;=;OK
-i +;;OK
-m addrtype --dst-type LOCAL --limit-iface-in;=;OK
-o lo;=;OURS

*filter FORWARD 46
-i eth0 -o eth1 -j ACCEPT;=;OK
! -i eth0 ! -o eth+ -j ACCEPT;=;OK
-o eth1 -i eth0;-i eth0 -o eth1;OK
-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu;=;OURS

*nat OUTPUT 46
-p udp -m udp --dport 53 -j REDIRECT --to-ports 5353;=;OK
-p tcp -j REDIRECT;=;OK
-j REDIRECT;=;OK
-j REDIRECT --random;=;OK
-p tcp -j REDIRECT --to-ports 1000-2000 --random;=;OK
-p tcp -j REDIRECT --random --to-ports 1000;-p tcp -j REDIRECT --to-ports 1000 --random;OK
-p tcp -j REDIRECT --to-ports 1000-1000;-p tcp -j REDIRECT --to-ports 1000;OK
-p tcp -j REDIRECT --to-ports 0;=;OK
-p tcp -j REDIRECT --to-ports 2000-1000;;FAIL
-p tcp -j REDIRECT --to-ports 1000:2000;;FAIL
-p tcp -j REDIRECT --to-ports http;;THEIRS
-p tcp -j REDIRECT --to-ports 65536;;FAIL
-j REDIRECT --to-ports 1000;=;OURS
-j DNAT;;FAIL

*nat OUTPUT 4
-j DNAT --to-destination 192.0.2.1;=;OK
-j DNAT --to-destination 192.0.2.1-192.0.2.9;=;OK
-p tcp -j DNAT --to-destination 192.0.2.1:80;=;OK
-p tcp -j DNAT --to-destination 192.0.2.1-192.0.2.9:80-90 --random --persistent;=;OK
-p tcp -j DNAT --to-destination :80;=;OK
-p tcp -j DNAT --persistent --to-destination 192.0.2.1;-p tcp -j DNAT --to-destination 192.0.2.1 --persistent;OK
-p tcp -j DNAT --to-destination 192.0.2.1:1000-2000/3000;=;OK
-p tcp -j DNAT --to-destination 192.0.2.1:80:90;;FAIL
-p tcp -j DNAT --to-destination [192.0.2.1]:80;;FAIL
-p tcp -j DNAT --to-destination 2001:db8::1;;FAIL
-p tcp -j DNAT --to-destination "";;FAIL
-p tcp -j DNAT --to-destination x;;FAIL
-j DNAT --to-destination :80;=;OURS

*nat OUTPUT 6
-j DNAT --to-destination 2001:db8::1;=;OK
-j DNAT --to-destination 2001:db8::1-2001:db8::9;=;OK
-p tcp -j DNAT --to-destination [2001:db8::1]:80;=;OK
-p tcp -j DNAT --to-destination [2001:db8::1-2001:db8::9]:80-90;=;OK
-p tcp -j DNAT --to-destination :80;=;OK
-p tcp -j DNAT --to-destination [2001:db8::1];-p tcp -j DNAT --to-destination 2001:db8::1;OK
-p tcp -j DNAT --to-destination [2001:db8::1;;FAIL
-p tcp -j DNAT --to-destination 192.0.2.1;;FAIL

*nat POSTROUTING 46
-j MASQUERADE;=;OK
-p tcp -j MASQUERADE --to-ports 1000-2000;=;OK
-p udp -j MASQUERADE --to-ports 1000 --random --random-fully;=;OK
-j MASQUERADE --random-fully;=;OK
-o eth0 -j MASQUERADE;=;OK
-j MASQUERADE --persistent;;FAIL

*nat POSTROUTING 4
-s 10.200.1.16/30 -j MASQUERADE;=;OK
-j SNAT --to-source 192.0.2.1;=;OK

*mangle OUTPUT 46
-j MARK --set-xmark 0x1/0xff;=;OK
-j MARK --set-xmark 0x1;-j MARK --set-xmark 0x1/0xffffffff;OK
-j MARK --set-mark 0x1;-j MARK --set-xmark 0x1/0xffffffff;OK
-j MARK --set-mark 0x10/0xf;-j MARK --set-xmark 0x10/0x1f;OK
-j MARK --and-mark 0xff;-j MARK --set-xmark 0x0/0xffffff00;OK
-j MARK --or-mark 0xff;-j MARK --set-xmark 0xff/0xff;OK
-j MARK --xor-mark 0xff;-j MARK --set-xmark 0xff/0x0;OK
-j MARK --and-mark 0xff/1;;FAIL
-j MARK --set-mark 1 --or-mark 2;;FAIL
-j MARK --set-mark x;;FAIL
-j MARK;;FAIL
-j CONNMARK --set-xmark 0x1/0xff;=;OK
-j CONNMARK --set-mark 0x10/0xf;-j CONNMARK --set-xmark 0x10/0x1f;OK
-j CONNMARK --and-mark 0xff;-j CONNMARK --set-xmark 0x0/0xffffff00;OK
-j CONNMARK --or-mark 0xff;-j CONNMARK --set-xmark 0xff/0xff;OK
-j CONNMARK --xor-mark 0xff;-j CONNMARK --set-xmark 0xff/0x0;OK
-j CONNMARK --save-mark;-j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff;OK
-j CONNMARK --restore-mark;-j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff;OK
-j CONNMARK --save-mark --mask 0xf;-j CONNMARK --save-mark --nfmask 0xf --ctmask 0xf;OK
-j CONNMARK --restore-mark --ctmask 0x1 --nfmask 0x2;-j CONNMARK --restore-mark --nfmask 0x2 --ctmask 0x1;OK
-j CONNMARK --save-mark --restore-mark;;FAIL
-j CONNMARK --nfmask 1;;FAIL
-j CONNMARK;;FAIL
-j CONNMARK --set-xmark 0x1/0xff --left-shift-mark 3;=;OK
-j DSCP --set-dscp 46;-j DSCP --set-dscp 0x2e;OK
-j DSCP --set-dscp 0x00;=;OK
-j DSCP --set-dscp-class CS6;-j DSCP --set-dscp 0x30;OK
-j DSCP --set-dscp 64;;FAIL
-j DSCP;;FAIL
-j TOS --set-tos 0x10/0xff;=;OURS
-j CLASSIFY --set-class 0001:0002;=;OURS

*mangle POSTROUTING 46
-o eth0 -m owner --uid-owner 1000 -j DSCP --set-dscp 0x01;=;OK

*raw OUTPUT 46
-j CT --notrack;=;OK
-j NOTRACK;=;OURS
-j TRACE;=;OK

*security OUTPUT 46
-o lo -j ACCEPT;=;OK
