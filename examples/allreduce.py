"""A sum over all ranks through plain sockets: what MPI programs do first.

Reads the variables that `torchrun` and its like use: RANK, WORLD_SIZE,
MASTER_ADDR and MASTER_PORT. Rank 0 collects one number from every other rank
and sends each the total. Every rank must then know the same total; a rank that
does not ends with status 1, and so does one that waits for more than
TIMEOUT_S seconds.
"""

import os
import socket
import sys
import time

TIMEOUT_S = 30


def serve(port: int, world: int, own: int) -> int:
    """Rank 0: adds up what the others send, then tells them."""
    with socket.create_server(("", port), backlog=world) as server:
        server.settimeout(TIMEOUT_S)
        total = own
        peers = []
        for _ in range(world - 1):
            peer, _ = server.accept()
            peer.settimeout(TIMEOUT_S)
            total += int(peer.makefile().readline())
            peers.append(peer)
        for peer in peers:
            with peer:
                peer.sendall(f"{total}\n".encode())
    return total


def ask(address: str, port: int, own: int) -> int:
    """Every other rank: sends its number and waits for the total."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            connection = socket.create_connection((address, port), timeout=TIMEOUT_S)
            break
        except OSError as error:
            # Ranks start in no particular order; rank 0 may not be there yet.
            if time.monotonic() > deadline:
                sys.exit(f"rank 0 at {address}:{port} did not answer in {TIMEOUT_S} s: {error}")
            time.sleep(0.1)
    with connection:
        connection.sendall(f"{own}\n".encode())
        return int(connection.makefile().readline())


def main() -> None:
    rank = int(os.environ["RANK"])
    world = int(os.environ["WORLD_SIZE"])
    port = int(os.environ["MASTER_PORT"])
    own = rank + 1
    total = serve(port, world, own) if rank == 0 else ask(os.environ["MASTER_ADDR"], port, own)
    expected = world * (world + 1) // 2
    print(f"rank {rank} of {world} on {socket.gethostname()}: total {total}, expected {expected}", flush=True)
    if total != expected:
        sys.exit(1)


if __name__ == "__main__":
    main()
