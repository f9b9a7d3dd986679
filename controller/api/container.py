"""The `Container` kind: its names in Kubernetes, and its two halves, declared (`spec`) and observed (`status`).

Code outside this room takes the models of the kind from here. Pure: no input or output.
"""

from typing import Final

from controller.api.healthcheck import HealthCheck as HealthCheck
from controller.api.healthcheck import OnFailure as OnFailure
from controller.api.lifecycle import Dependency as Dependency
from controller.api.lifecycle import DependencyCondition as DependencyCondition
from controller.api.placement import ReschedulePolicy as ReschedulePolicy
from controller.api.placement import Toleration as Toleration
from controller.api.placement import TolerationOperator as TolerationOperator
from controller.api.scalars import Quantity as Quantity
from controller.api.spec import Capabilities as Capabilities
from controller.api.spec import ContainerSpec as ContainerSpec
from controller.api.spec import DesiredState as DesiredState
from controller.api.spec import Device as Device
from controller.api.spec import EnvVar as EnvVar
from controller.api.spec import HostPathSource as HostPathSource
from controller.api.spec import HostPathType as HostPathType
from controller.api.spec import ImagePullPolicy as ImagePullPolicy
from controller.api.spec import Logging as Logging
from controller.api.spec import LoggingDriver as LoggingDriver
from controller.api.spec import Mount as Mount
from controller.api.spec import MountPropagation as MountPropagation
from controller.api.spec import Network as Network
from controller.api.spec import NetworkMode as NetworkMode
from controller.api.spec import ResourceAmounts as ResourceAmounts
from controller.api.spec import ResourceLimits as ResourceLimits
from controller.api.spec import Resources as Resources
from controller.api.spec import SeccompProfile as SeccompProfile
from controller.api.spec import SeccompProfileType as SeccompProfileType
from controller.api.spec import SecurityContext as SecurityContext
from controller.api.spec import Ulimit as Ulimit
from controller.api.status import CheckResult as CheckResult
from controller.api.status import ContainerHealth as ContainerHealth
from controller.api.status import ContainerState as ContainerState
from controller.api.status import ContainerStatus as ContainerStatus
from controller.api.status import HealthStatus as HealthStatus
from controller.api.status import PullProgress as PullProgress

GROUP: Final = "tallyman.dev"
VERSION: Final = "v1alpha1"
KIND: Final = "Container"
PLURAL: Final = "containers"
SINGULAR: Final = "container"
SHORT_NAMES: Final = ("ctr",)
CATEGORIES: Final = ("tally",)
NODE_LABEL: Final = "tallyman.dev/node"
FINALIZER: Final = "tallyman.dev/container"
RESTARTED_AT_ANNOTATION: Final = "tallyman.dev/restartedAt"
"""Changing it restarts the container once."""
