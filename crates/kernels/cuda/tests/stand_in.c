// Stands in for the driver's library (libcuda.so.1) in tests: has one device that computes nothing, writes every call to the file LOG,
// and fails where it is told to when it is compiled: VERSION, DEVICES, MAJOR, LOAD (what cuModuleLoadData returns), LAUNCH, BLOCKS, CLUSTERS.
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#ifndef VERSION
#define VERSION 13000
#endif
#ifndef DEVICES
#define DEVICES 1
#endif
#ifndef MAJOR
#define MAJOR 9
#endif
#ifndef LOAD
#define LOAD 0
#endif
#ifndef LAUNCH
#define LAUNCH 0
#endif
#ifndef BLOCKS
#define BLOCKS 1
#endif
#ifndef CLUSTERS
#define CLUSTERS 16
#endif

struct attribute { unsigned id, padding; union { char padding[64]; int cooperative; unsigned cluster[3]; } value; };
struct config { unsigned grid[3], block[3], shared; void *stream; struct attribute *attributes; unsigned attribute_count; };

static void note(const char *text) {
#ifdef LOG
  FILE *file = fopen(LOG, "a");
  if (file == NULL) return; // the test is over
  fprintf(file, "%s\n", text);
  fclose(file);
#else
  (void)text;
#endif
}

int cuInit(unsigned flags) { (void)flags; return DEVICES > 0 ? 0 : 100; }
int cuDriverGetVersion(int *version) { *version = VERSION; return 0; }
int cuGetErrorString(int status, const char **text) {
  *text = status == 2 ? "out of memory" : status == 200 ? "device kernel image is invalid" : status == 209 ? "no kernel image is available" : NULL;
  return *text == NULL;
}
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return ordinal < DEVICES ? 0 : 101; }
int cuDeviceGetName(char *name, int length, int device) { (void)device; strncpy(name, "Stand-in", length); return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  (void)device;
  switch (attribute) {
  case 16: *value = 132; return 0;
  case 75: *value = MAJOR; return 0;
  case 76: *value = 0; return 0;
  case 97: *value = 227 * 1024; return 0;
  case 120: *value = MAJOR >= 9; return 0;
  default: return 1;
  }
}
int cuDevicePrimaryCtxRetain(void **context, int device) { (void)device; *context = (void *)0x1000; return 0; }
static _Thread_local void *current;
int cuCtxGetCurrent(void **context) { *context = current; return 0; }
int cuCtxSetCurrent(void *context) { current = context; return 0; }
int cuModuleLoadData(void **module, const void *image) {
  (void)image;
  if (current != (void *)0x1000) return 201;
  note("load");
  *module = (void *)0x2000;
  return LOAD;
}
int cuModuleGetFunction(void **function, void *module, const char *name) {
  if (current != (void *)0x1000) return 201;
  if (module != (void *)0x2000) return 400;
  if (strcmp(name, "absent") == 0) return 500;
  char text[256];
  snprintf(text, sizeof text, "function %s", name);
  note(text);
  *function = strdup(name);
  return 0;
}
int cuFuncSetAttribute(void *function, int attribute, int value) {
  char text[256];
  snprintf(text, sizeof text, "attribute %s %d = %d", (char *)function, attribute, value);
  note(text);
  return 0;
}
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void *function, int threads, size_t shared) {
  (void)function, (void)threads, (void)shared;
  *blocks = BLOCKS;
  return 0;
}
int cuOccupancyMaxActiveClusters(int *clusters, void *function, const struct config *config) {
  (void)function, (void)config;
  *clusters = CLUSTERS;
  return 0;
}
// Kernels take one struct: of it, two numbers are read.
int cuLaunchKernelEx(const struct config *config, void *function, void **arguments, void **extra) {
  char text[512];
  int at = snprintf(text, sizeof text, "launch %s grid %u %u %u block %u %u %u shared %u stream %p", (char *)function, config->grid[0], config->grid[1],
                    config->grid[2], config->block[0], config->block[1], config->block[2], config->shared, config->stream);
  for (unsigned i = 0; i < config->attribute_count; ++i) {
    const struct attribute *one = &config->attributes[i];
    if (one->id == 2) at += snprintf(text + at, sizeof text - at, " cooperative %d", one->value.cooperative);
    if (one->id == 4) at += snprintf(text + at, sizeof text - at, " cluster %u %u %u", one->value.cluster[0], one->value.cluster[1], one->value.cluster[2]);
  }
  snprintf(text + at, sizeof text - at, " arguments %#llx %llu%s", ((unsigned long long *)arguments[0])[0],
           ((unsigned long long *)arguments[0])[1], extra == NULL ? "" : " extra");
  note(text);
  return LAUNCH;
}
