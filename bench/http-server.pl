# The cheapest HTTP server there is, so that it is the last thing to become the bottleneck: one process, one connection
# at a time, six system calls each. TCP_DEFER_ACCEPT hands over a connection only when its request is there, so a slow
# client holds up nobody. Perl, because every Debian has it and it makes these calls at the price of C.
use strict;
use Socket;
my $response = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
socket(my $listener, PF_INET, SOCK_STREAM, 0) or die "socket: $!";
setsockopt($listener, SOL_SOCKET, SO_REUSEADDR, 1);
setsockopt($listener, 6, 9, 1) or die "TCP_DEFER_ACCEPT: $!";
bind($listener, sockaddr_in($ARGV[0], INADDR_ANY)) or die "bind: $!";
listen($listener, 4096);
$SIG{PIPE} = 'IGNORE';
$| = 1;
print "ready\n";
while (1) {
  accept(my $connection, $listener) or next;
  sysread($connection, my $request, 4096);
  syswrite($connection, $response);
  close $connection;
}
