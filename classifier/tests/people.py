"""Whom tests log in."""

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, Permission


def staff(*permissions: str, name: str = "staff") -> AbstractBaseUser:
    """A member of the staff with these permissions, such as view_upload, and no other."""
    user = get_user_model().objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user
