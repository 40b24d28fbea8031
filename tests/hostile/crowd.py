# Many connections from one address, which send nothing, half a line, or an end of file. Ends when the controller has
# closed all of them.
import select
import socket
import sys

host, port, count, source = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
crowd = {}
poll = select.poll()
for nr in range(count):
    stream = socket.socket()
    stream.bind((source, 0))
    stream.connect((host, port))
    try:
        if nr % 4 == 0:
            stream.send(b'{"type":"join","protocol":1,')
        elif nr % 4 == 1:
            stream.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # It is already closed.
    crowd[stream.fileno()] = stream
    poll.register(stream, select.POLLIN)
print("all have come", flush=True)
while crowd:
    for fd, _ in poll.poll():
        try:
            gone = not crowd[fd].recv(65536)
        except OSError:
            gone = True
        if gone:
            poll.unregister(fd)
            crowd.pop(fd).close()
