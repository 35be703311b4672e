def test_torchvision_suppresses_what_overlaps_a_better_box(torch_runtime: None) -> None:
    import torch
    import torchvision

    boxes = torch.tensor([[0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30.0]])
    kept = torchvision.ops.nms(boxes, torch.tensor([0.8, 0.9, 0.1]), 0.5)
    assert kept.tolist() == [1, 2]


def test_our_suppression_keeps_boxes_that_overlap_by_no_more_than_the_threshold(
    torch_runtime: None,
) -> None:
    import torch

    from inference.torch_vision import suppress

    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 5, 10.0]])  # overlap: exactly one half
    scores = torch.tensor([0.9, 0.8])
    assert suppress(boxes, scores, 0.5).tolist() == [0, 1]
    assert suppress(boxes, scores, 0.49).tolist() == [0]
    assert suppress(torch.empty(0, 4), torch.empty(0), 0.5).tolist() == []
