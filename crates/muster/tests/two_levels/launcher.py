"""What torchrun does on each node, without torch: `launcher.py LOCAL_RANKS MODE` starts that many ranks here. All of all nodes meet
at MASTER_ADDR:MASTER_PORT, where rank 0 listens. They leave together, or, with the mode `stay`, work on until one of them is
lost. A launcher that lost one of its ranks kills the others and fails."""

import os
import socket
import subprocess
import sys
import time

PATIENCE = 60


def launch(local_ranks, mode):
    node, nodes = int(os.environ["SLURM_NODEID"]), int(os.environ["SLURM_NNODES"])
    ranks = []
    for local in range(local_ranks):
        own = {"RANK": node * local_ranks + local, "LOCAL_RANK": local, "WORLD_SIZE": nodes * local_ranks}
        environment = {**os.environ, **{name: str(value) for name, value in own.items()}}
        ranks.append(subprocess.Popen([sys.executable, "-S", __file__, "rank", mode], env=environment))
    with open(f"pids.new.{node}", "w") as file:
        file.write(" ".join(str(rank.pid) for rank in ranks) + "\n")
    os.rename(f"pids.new.{node}", f"pids.{node}")
    while ranks:
        ends = [rank.poll() for rank in ranks]
        if any(ends):
            for rank in ranks:
                rank.kill()
            sys.exit(1)
        ranks = [rank for rank, end in zip(ranks, ends) if end is None]
        time.sleep(0.02)


def meet(address, rank, world):
    """Gives connections on which every rank has said its number: to all others for rank 0, else to rank 0."""
    if rank > 0:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                master = socket.create_connection(address, PATIENCE)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        master.settimeout(PATIENCE)
        master.sendall(rank.to_bytes(4, "big"))
        return [master]
    with socket.create_server(address, backlog=world) as server:
        server.settimeout(PATIENCE)
        others = [server.accept()[0] for _ in range(world - 1)]
    for other in others:
        other.settimeout(PATIENCE)
    said = sorted(int.from_bytes(other.recv(4), "big") for other in others)
    assert said == list(range(1, world)), said
    return others


def work(mode):
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    others = meet((os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])), rank, world)
    if rank == 0:
        for other in others:
            other.sendall(b"g")
    else:
        assert others[0].recv(1) == b"g"
    # In one piece: print() writes the end of the line by itself, and the ranks of a node share a pipe.
    line = f"{rank}/{world} on {os.environ['SLURMD_NODENAME']} as {os.environ['LOCAL_RANK']}\n"
    os.write(1, line.encode())
    if mode == "stay":
        time.sleep(10 * PATIENCE)


if sys.argv[1] == "rank":
    work(sys.argv[2])
else:
    launch(int(sys.argv[1]), sys.argv[2])
