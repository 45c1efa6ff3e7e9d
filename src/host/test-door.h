/* SPDX-License-Identifier: MIT */
/* What the test of the door and the programs that it starts agree on. */
#ifndef VIA_HOST_TEST_DOOR_H
#define VIA_HOST_TEST_DOOR_H

#define GROUP "vfio/0"
#define DEVICE "0000:00:03.0"
#define BELL "0000:00:04.0" /* in group 1 */
#define NVME "0000:00:05.0" /* in group 2, in one test */

/* The status of a program that found something missing that it needs. */
#define EXIT_SKIPPED 77

/* argv: program, what it does, the host's name, a number. Return: its exit status. */
int test_door_program(int argc, char **argv);

#endif
