"""The names that ordinary PyTorch programs touch, by where they are found. tests/test_names.py asks for each."""

NAMES = {
    "torch": """
        FloatTensor Generator LongTensor Size Tensor _dynamo _inductor abs add addcdiv addcmul addmm all allclose
        amp arange argmax argsort atan atan2 autocast autograd bernoulli bfloat16 bincount bmm bool
        broadcast_tensors broadcast_to can_cast cat ceil chunk compile cos cosh cummax cumsum device diag
        distributed distributions div dot double einsum empty empty_like enable_grad equal erf exp expm1 eye finfo
        flatten float float16 float32 float64 floor fmod from_numpy full full_like func gather get_default_dtype
        get_rng_state half hstack hypot iinfo index_select inf inference_mode int16 int32 int64 is_autocast_enabled
        is_floating_point is_grad_enabled is_tensor isclose isfinite isinf isnan kthvalue lerp linalg linspace load
        log log10 log1p log2 logical_and logical_not logspace logsumexp long manual_seed masked_select matmul max
        maximum mean meshgrid min minimum mm multinomial multiprocessing mv nan_to_num neg no_grad nonzero normal
        numel ones ones_like outer pi polar pow promote_types rand rand_like randint randn randn_like randperm
        reciprocal relu repeat_interleave result_type roll rot90 round rsqrt save set_default_dtype set_grad_enabled
        set_rng_state sigmoid sign sin sinh softmax sort split sqrt square stack sub sum take_along_dim tan tanh
        tensor tensordot testing tile topk tril triu trunc uint8 unique use_deterministic_algorithms view_as_complex
        view_as_real vstack where zeros zeros_like
    """,
    "torch._inductor": "config",
    "torch.amp": "GradScaler autocast",
    "torch.autograd": "Function functional grad gradcheck",
    "torch.autograd.functional": "hessian jacobian",
    "torch.backends": "cuda cudnn",
    "torch.backends.cuda": "matmul",
    "torch.cuda": "amp device_count is_available manual_seed manual_seed_all",
    "torch.cuda.amp": "GradScaler",
    "torch.distributed": "destroy_process_group init_process_group",
    "torch.distributed.optim": "ZeroRedundancyOptimizer",
    "torch.distributions": "Categorical Normal",
    "torch.func": "functional_call grad jacrev vmap",
    "torch.linalg": "det inv norm solve svdvals",
    "torch.nn": """
        AdaptiveAvgPool2d AvgPool2d BCELoss BCEWithLogitsLoss BatchNorm1d BatchNorm2d Conv1d Conv2d ConvTranspose1d
        ConvTranspose2d CrossEntropyLoss Dropout Dropout2d Embedding Flatten GELU GRU GRUCell GroupNorm Identity
        KLDivLoss LSTM LSTMCell LayerNorm LeakyReLU Linear MSELoss MaxPool2d Module ModuleDict ModuleList
        MultiheadAttention NLLLoss PReLU Parameter ParameterDict ParameterList PixelShuffle RMSNorm RNN ReLU
        Sequential Sigmoid Softmax Tanh Transformer TransformerEncoder TransformerEncoderLayer Upsample parameter
    """,
    "torch.nn.functional": """
        adaptive_avg_pool2d avg_pool2d batch_norm binary_cross_entropy binary_cross_entropy_with_logits conv1d
        conv2d conv_transpose2d cosine_similarity cross_entropy dropout dropout2d elu embedding fold gelu glu
        group_norm hardsigmoid hardswish hardtanh huber_loss instance_norm interpolate kl_div l1_loss layer_norm
        leaky_relu linear log_softmax logsigmoid max_pool1d max_pool2d mish mse_loss nll_loss normalize one_hot pad
        pixel_shuffle relu relu6 rms_norm scaled_dot_product_attention selu sigmoid silu smooth_l1_loss
        soft_margin_loss softmax softplus softsign tanh unfold
    """,
    "torch.nn.init": """
        calculate_gain constant_ eye_ kaiming_normal_ kaiming_uniform_ normal_ ones_ orthogonal_ trunc_normal_
        uniform_ xavier_normal_ xavier_uniform_ zeros_
    """,
    "torch.nn.parallel": "DistributedDataParallel",
    "torch.nn.parameter": "Parameter",
    "torch.nn.utils": "clip_grad_norm_ clip_grad_value_ parameters_to_vector vector_to_parameters",
    "torch.optim": "Adadelta Adagrad Adam AdamW LBFGS Optimizer RMSprop SGD lr_scheduler",
    "torch.optim.lr_scheduler": """
        ConstantLR CosineAnnealingLR CosineAnnealingWarmRestarts ExponentialLR LambdaLR LinearLR MultiStepLR
        MultiplicativeLR OneCycleLR ReduceLROnPlateau SequentialLR StepLR
    """,
    "torch.testing": "assert_close",
    "torch.utils": "checkpoint",
    "torch.utils.checkpoint": "checkpoint",
    "torch.utils.data": """
        BatchSampler ConcatDataset DataLoader Dataset IterableDataset RandomSampler SequentialSampler Subset
        TensorDataset WeightedRandomSampler default_collate random_split
    """,
    "torch.utils.data.dataloader": "DataLoader",
    "torch.utils.data.distributed": "DistributedSampler",
}

# what objects have: the classes, or instances of them
MEMBERS = {
    "Tensor": """
        T __abs__ __add__ __and__ __array__ __bool__ __contains__ __eq__ __float__ __floordiv__ __format__
        __getitem__ __gt__ __hash__ __iadd__ __imul__ __index__ __int__ __invert__ __ipow__ __isub__ __iter__
        __itruediv__ __le__ __len__ __lt__ __matmul__ __mod__ __mul__ __ne__ __neg__ __or__ __pow__ __radd__
        __reduce_ex__ __repr__ __rmul__ __rpow__ __rsub__ __rtruediv__ __setitem__ __sub__ __truediv__ __xor__ abs
        add_ addcdiv_ addcmul_ all amax amin any argmax argmin backward bfloat16 bool byte chunk clamp clamp_ clone
        contiguous copy_ cpu cumprod data detach device diagonal diff dim double dtype element_size eq exp exp_
        expand expand_as fill_ flatten flip float gather ge grad grad_fn half index_add index_copy_ index_fill_
        index_put_ int is_contiguous is_cuda is_floating_point is_leaf is_xpu item lerp_ log log10 long mT
        masked_fill masked_fill_ max mean median min mm movedim mul_ narrow ndim neg_ nelement new_full new_ones
        new_tensor new_zeros norm normal_ numel numpy permute pow prod real register_hook relu repeat
        repeat_interleave requires_grad requires_grad_ reshape retain_grad round scatter_ scatter_add_ shape sign
        sin size softmax split sqrt_ squeeze std stride sum swapaxes t to tolist topk transpose type type_as unbind
        unflatten uniform_ unique unsqueeze var view view_as zero_
    """,
    "Module": """
        add_module append apply bfloat16 buffers children cpu double eval extend float forward get_parameter
        get_submodule half in_features insert items keys load_state_dict modules named_buffers named_children
        named_modules named_parameters parameters pop register_buffer register_forward_hook
        register_forward_pre_hook register_full_backward_hook register_parameter requires_grad_ state_dict to train
        training update values zero_grad
    """,
    "Optimizer": "add_param_group load_state_dict param_groups state_dict step zero_grad",
    "LRScheduler": "get_last_lr load_state_dict state_dict step",
    "GradScaler": "get_scale is_enabled load_state_dict scale state_dict step unscale_ update",
}
