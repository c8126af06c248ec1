"""The upload form."""

from django import forms


class UploadForm(forms.Form):
    """Takes one picture; whether it is one is decided where it is decoded."""

    image = forms.FileField(
        label="Picture",
        allow_empty_file=True,  # told apart from "no file" by the reader, with the same sentence as the API's
        max_length=None,
        error_messages={"required": "Choose a picture first."},
        widget=forms.FileInput(
            attrs={"accept": "image/jpeg,image/png,image/webp,image/gif,image/bmp,image/tiff,image/avif"}
        ),
    )
