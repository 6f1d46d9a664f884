/* A library that answers like NVIDIA's (NVML), for machines without a GPU. What it answers stands in the file CARDS, read anew
 * whenever they are counted:
 *
 *   card MINOR NAME|UUID|PLACE      a GPU
 *   link PLACE                      a link of the card before
 *   part GI CI UUID SLICES COMPUTE_SLICES MEMORY_MB
 *   energy MILLIJOULES POWER_MILLIWATTS
 *   process PID MEMORY_BYTES PERCENT TIME
 *   lost                            a GPU that does not answer any more
 *   broken                          the driver is not there
 */
#include <stdio.h>
#include <string.h>

#define MOST 16

struct part { unsigned gi, ci, slices, compute; unsigned long long memory; char uuid[96]; };
struct process { unsigned pid, percent; unsigned long long memory, time; };
struct card {
    int lost; unsigned minor, links, parts, processes, power; unsigned long long energy;
    char name[96], uuid[96], place[32], link[MOST][32];
    struct part part[MOST];
    struct process process[MOST];
};
struct pci { char legacy[16]; unsigned numbers[5]; char place[32]; };
struct attributes { unsigned counts[6], slices, compute; unsigned long long memory; };
struct info { unsigned pid; unsigned long long memory; unsigned gi, ci; };
struct sample { unsigned pid; unsigned long long time; unsigned sm, memory, encoder, decoder; };

static struct card cards[MOST];
static unsigned count;

int nvmlInit_v2(void) {
    char line[512];
    struct card *card = cards;
    FILE *file = fopen(CARDS, "r");
    if (!file) return 9;
    memset(cards, 0, sizeof cards);
    count = 0;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (!strcmp(line, "broken")) { fclose(file); return 9; }
        if (count == MOST) break;
        if (!strncmp(line, "card ", 5)) {
            card = &cards[count++];
            sscanf(line, "card %u %95[^|]|%95[^|]|%31s", &card->minor, card->name, card->uuid, card->place);
        } else if (!strcmp(line, "lost")) {
            cards[count++].lost = 1;
        } else if (!strncmp(line, "link ", 5) && card->links < MOST) {
            sscanf(line, "link %31s", card->link[card->links++]);
        } else if (!strncmp(line, "part ", 5) && card->parts < MOST) {
            struct part *part = &card->part[card->parts++];
            sscanf(line, "part %u %u %95s %u %u %llu", &part->gi, &part->ci, part->uuid, &part->slices, &part->compute,
                   &part->memory);
        } else if (!strncmp(line, "energy ", 7)) {
            sscanf(line, "energy %llu %u", &card->energy, &card->power);
        } else if (!strncmp(line, "process ", 8) && card->processes < MOST) {
            struct process *process = &card->process[card->processes++];
            sscanf(line, "process %u %llu %u %llu", &process->pid, &process->memory, &process->percent, &process->time);
        }
    }
    fclose(file);
    return 0;
}

int nvmlShutdown(void) { return 0; }

const char *nvmlErrorString(int code) {
    return code == 9 ? "Driver Not Loaded" : code == 15 ? "GPU is lost" : code == 3 ? "Not Supported" : "Unknown Error";
}

int nvmlDeviceGetCount_v2(unsigned *number) {
    nvmlInit_v2();
    *number = count;
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned number, struct card **card) {
    if (number >= count) return 2;
    if (cards[number].lost) return 15;
    *card = &cards[number];
    return 0;
}

int nvmlDeviceGetName(struct card *card, char *text, unsigned size) { snprintf(text, size, "%s", card->name); return 0; }

/* Parts are handles too; both are told apart by where they are. */
static int is_card(void *handle) {
    unsigned i;
    for (i = 0; i < count; i++) if (handle == &cards[i]) return 1;
    return 0;
}

int nvmlDeviceGetUUID(void *handle, char *text, unsigned size) {
    snprintf(text, size, "%s", is_card(handle) ? ((struct card *)handle)->uuid : ((struct part *)handle)->uuid);
    return 0;
}

int nvmlDeviceGetMinorNumber(struct card *card, unsigned *minor) { *minor = card->minor; return 0; }

int nvmlDeviceGetPciInfo_v3(struct card *card, struct pci *pci) {
    snprintf(pci->place, sizeof pci->place, "%s", card->place);
    return 0;
}

int nvmlDeviceGetNvLinkState(struct card *card, unsigned link, unsigned *active) {
    if (link > card->links) return 2;
    *active = link < card->links;
    return 0;
}

int nvmlDeviceGetNvLinkRemotePciInfo_v2(struct card *card, unsigned link, struct pci *pci) {
    if (link >= card->links) return 2;
    snprintf(pci->place, sizeof pci->place, "%s", card->link[link]);
    return 0;
}

int nvmlDeviceGetMigMode(struct card *card, unsigned *now, unsigned *pending) {
    *now = *pending = card->parts > 0;
    return 0;
}

int nvmlDeviceGetMaxMigDeviceCount(struct card *card, unsigned *most) { (void)card; *most = 7; return 0; }

int nvmlDeviceGetMigDeviceHandleByIndex(struct card *card, unsigned number, struct part **part) {
    if (number >= card->parts) return 6;
    *part = &card->part[number];
    return 0;
}

int nvmlDeviceGetAttributes_v2(struct part *part, struct attributes *attributes) {
    attributes->slices = part->slices;
    attributes->compute = part->compute;
    attributes->memory = part->memory;
    return 0;
}

int nvmlDeviceGetGpuInstanceId(struct part *part, unsigned *number) { *number = part->gi; return 0; }
int nvmlDeviceGetComputeInstanceId(struct part *part, unsigned *number) { *number = part->ci; return 0; }

int nvmlDeviceGetPowerUsage(struct card *card, unsigned *power) {
    if (!card->power) return 3;
    *power = card->power;
    return 0;
}

int nvmlDeviceGetTotalEnergyConsumption(struct card *card, unsigned long long *energy) {
    if (!card->energy) return 3;
    *energy = card->energy;
    return 0;
}

int nvmlDeviceGetComputeRunningProcesses_v3(struct card *card, unsigned *number, struct info *infos) {
    unsigned i, room = *number;
    *number = card->processes;
    if (!card->processes) return 0;
    if (!infos || room < card->processes) return 7;
    for (i = 0; i < card->processes; i++) {
        infos[i].pid = card->process[i].pid;
        infos[i].memory = card->process[i].memory;
    }
    return 0;
}

int nvmlDeviceGetProcessUtilization(struct card *card, struct sample *samples, unsigned *number, unsigned long long since) {
    unsigned i, found = 0, room = *number;
    if (!samples || room < card->processes) { *number = card->processes; return card->processes ? 7 : 6; }
    for (i = 0; i < card->processes; i++) {
        if (card->process[i].time <= since) continue;
        samples[found].pid = card->process[i].pid;
        samples[found].sm = card->process[i].percent;
        samples[found++].time = card->process[i].time;
    }
    *number = found;
    return found ? 0 : 6;
}
