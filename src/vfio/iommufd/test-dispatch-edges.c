/* SPDX-License-Identifier: MIT */
/* What follows a command's structure is looked at for as long as somebody waits for the answer. */
#include "vfio/iommufd/test-iommufd.h"

static bool gone(struct via_caller *caller)
{
	return true;
}

static void test_nobody_waits(void **state)
{
	struct bench *b = *state;
	const struct via_caller_ops *ops = b->tc.caller.ops;
	struct via_caller_ops leaving = *ops;
	struct via_iommu_ioas_alloc *cmd = (void *)b->memory;

	leaving.gone = gone;
	b->tc.caller.ops = &leaving;
	cmd->size = 3 * PAGE;
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_ALLOC, cmd), -EINTR);
	assert_int_equal(b->iommufd->n_live, 0);
	/* What is not zero is found first. */
	b->memory[PAGE - 1] = 1;
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_ALLOC, cmd), -E2BIG);
	b->memory[PAGE - 1] = 0;
	b->memory[PAGE] = 1;
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_ALLOC, cmd), -EINTR);
	b->memory[PAGE] = 0;
	/* Nothing follows: nothing takes its time. */
	cmd->size = sizeof(*cmd);
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_ALLOC, cmd), 0);
	b->tc.caller.ops = ops;
	cmd->size = 3 * PAGE;
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_ALLOC, cmd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LINUX(test_nobody_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
