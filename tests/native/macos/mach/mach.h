/* What rebinding asks of macOS's kernel, asked of this system's instead: memory is one region, and read-only. */
#ifndef GV_TEST_MACH_H
#define GV_TEST_MACH_H

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define KERN_SUCCESS 0
#define VM_PROT_READ PROT_READ
#define VM_PROT_WRITE PROT_WRITE
#define VM_PROT_COPY 0
#define VM_REGION_BASIC_INFO_64 9
#define VM_REGION_BASIC_INFO_COUNT_64 9
#define vm_page_size ((vm_size_t)sysconf(_SC_PAGESIZE))

typedef uintptr_t vm_address_t, vm_size_t;
typedef unsigned task_t, mach_port_t, mach_msg_type_number_t;
typedef int *vm_region_info_t;
struct vm_region_basic_info_64 {
    int protection;
};

static inline task_t mach_task_self(void) {
    return 0;
}

static inline int vm_region_64(task_t task, vm_address_t *address, vm_size_t *size, int flavor, vm_region_info_t info,
                               mach_msg_type_number_t *count, mach_port_t *object) {
    (void)task, (void)size, (void)flavor, (void)count, (void)object;
    *address &= ~(vm_page_size - 1);
    *info = VM_PROT_READ;
    return KERN_SUCCESS;
}

static inline int vm_protect(task_t task, vm_address_t address, vm_size_t size, int maximum, int protection) {
    (void)task, (void)maximum;
    return mprotect((void *)address, size, protection) == 0 ? KERN_SUCCESS : 5;
}

#endif
