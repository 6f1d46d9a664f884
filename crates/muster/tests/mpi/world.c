/* An MPI program that does what its first argument says. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int rank, size;

/* Even ranks accept, odd ranks connect: two halves that know nothing of each other but a published name. */
static void meet(void) {
    MPI_Comm half, others;
    char port[MPI_MAX_PORT_NAME] = "";
    int count, sum = -1;
    MPI_Comm_split(MPI_COMM_WORLD, rank % 2, rank, &half);
    if (rank == 0) {
        MPI_Open_port(MPI_INFO_NULL, port);
        MPI_Publish_name("meeting", MPI_INFO_NULL, port);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 1)
        MPI_Lookup_name("meeting", MPI_INFO_NULL, port);
    if (rank % 2 == 0)
        MPI_Comm_accept(port, MPI_INFO_NULL, 0, half, &others);
    else
        MPI_Comm_connect(port, MPI_INFO_NULL, 0, half, &others);
    MPI_Comm_remote_size(others, &count);
    MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, others);
    printf("%d met %d: %d\n", rank, count, sum);
    MPI_Comm_disconnect(&others);
    if (rank == 0)
        MPI_Unpublish_name("meeting", MPI_INFO_NULL, port);
}

int main(int count, char **words) {
    const char *what = count > 1 ? words[1] : "sum";
    int sum = 0, neighbours = 0;
    MPI_Comm node;
    MPI_Init(&count, &words);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    if (!strcmp(what, "sum")) {
        MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
        MPI_Comm_size(node, &neighbours);
        printf("%d of %d: %d, %d on %s\n", rank, size, sum, neighbours, getenv("SLURMD_NODENAME"));
    }
    if (!strcmp(what, "meet"))
        meet();
    if (!strcmp(what, "abort")) {
        if (rank == 1)
            MPI_Abort(MPI_COMM_WORLD, 3);
        sleep(60);
    }
    if (!strcmp(what, "leave")) {
        if (rank == 1)
            _exit(7);
        sleep(60);
    }
    if (!strcmp(what, "wait")) {
        printf("waiting\n");
        fflush(stdout);
        sleep(60);
    }
    MPI_Finalize();
    return strcmp(what, "code") ? 0 : rank + 4;
}
